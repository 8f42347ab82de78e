"""Results from elsewhere as an experiment directory, which `plot` and `compare` read like any."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpcexp.errors import Problem, TemplateError, UsageError
from hpcexp.grid import GROUP, expand_groups
from hpcexp.launch.results_table import VALUE, Result, ResultsTable, read_results
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun, create_experiment
from hpcexp.store.layout import TIMESTAMP, TIMESTAMP_LENGTH, ExperimentDir
from hpcexp.store.metrics import MetricsRow, MetricsWriter
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.status import FINISHED, RunStatus, State, write_status
from hpcexp.template.assemble import apply_dotted
from hpcexp.template.comparison import Comparison
from hpcexp.template.document import check_name
from hpcexp.template.faults import find_faults, translate_errors
from hpcexp.workloads import load_config_class, load_primary_metric

IMPORTED = "imported"
"""The workload of results of which nobody said what was trained."""

_TROUBLED = (State.DIVERGED, State.FAILED)
_METRIC_NAME = re.compile(r"[A-Za-z_][\w./-]{0,99}")


@dataclass(frozen=True)
class ImportOptions:
    """What the command line says in place of the file, or beside it."""

    name: str | None = None
    question: str | None = None
    workload: str | None = None
    metric: str | None = None
    success_below: float | None = None
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Import:
    """A plan, the time it is of, and each run's result."""

    plan: Plan
    created: datetime | None
    results: Mapping[str, Result]
    file_name: str


def import_results(
    path: Path, *, experiments_dir: Path, options: ImportOptions | None = None
) -> list[ExperimentDir]:
    """Make an experiment of each that the file describes; all are checked before one is made.

    Raises UsageError and TemplateError for what is wrong with the file or the options, and
    where an experiment of that time and name exists.
    """
    options = options or ImportOptions()
    tables = read_results(path)
    if options.name is not None and len(tables) > 1:
        raise UsageError(f"{path}: holds {len(tables)} experiments, which --name cannot all name")
    imports = [_Planner(path, table, options).make() for table in tables]
    for planned in imports:
        _refuse_existing(planned, experiments_dir)
    source = (Path(path.name), path.read_bytes().decode("utf-8-sig"))
    provenance = collect_provenance(exclude=[experiments_dir])
    return [
        create_experiment(
            experiments_dir,
            planned.plan,
            sources=[source],
            provenance=provenance,
            created=planned.created,
            add=lambda aside, planned=planned: _fill(aside, planned),  # type: ignore[misc]
        )
        for planned in imports
    ]


class _Planner:
    """From one table to a plan; faults are collected."""

    def __init__(self, path: Path, table: ResultsTable, options: ImportOptions) -> None:
        self.path, self.table, self.options = path, table, options
        self.faults: list[Problem] = []

    def make(self) -> _Import:
        """The plan. Raises TemplateError with every fault."""
        name, created = self._read_name()
        workload = self.options.workload or self.table.workload
        metric = self._choose_metric(workload)
        comparison = self._check_comparison()
        variables = self._choose_variables()
        groups = self._make_groups(variables)
        configs = {g: self._make_config(workload, r) for g, r in groups.items()}
        if self.faults:
            raise TemplateError(list(dict.fromkeys(self.faults)))
        runs = {group: self._number(results) for group, results in groups.items()}
        first = {group: results[0] for group, results in groups.items()}
        plan = Plan(
            name=name,
            question=self.options.question or self.table.question,
            workload=workload or IMPORTED,
            seed=0,
            rand_inits=max(len(numbered) for numbered in runs.values()),
            params={},
            grid={v: _list_values(v, first.values()) for v in variables if v != GROUP},
            groups=tuple(
                PlannedGroup(group, _pick_values(result, variables))
                for group, result in first.items()
            ),
            runs=tuple(
                PlannedRun(f"{group}_rand_{number}", group, number)
                for group, numbered in runs.items()
                for number in numbered
            ),
            resources={},
            comparison=comparison,
            primary_metric=metric,
            is_imported=True,
            configs=configs,
        )
        results = {
            f"{group}_rand_{number}": result
            for group, numbered in runs.items()
            for number, result in numbered.items()
        }
        self._require_values(results.values(), metric["name"])
        if self.faults:
            raise TemplateError(self.faults)
        return _Import(plan, created, results, self.path.name)

    def fail(self, where: str, message: str, line: int | None = None) -> None:
        self.faults.append(Problem(str(self.path), line, where, message))

    def _read_name(self) -> tuple[str, datetime | None]:
        """A name, or the name of a directory with the time in it."""
        given = self.options.name or self.table.experiment or _make_safe(self.path.stem)
        created, name = None, given
        if "@" in given:
            try:
                stamp = datetime.strptime(given[:TIMESTAMP_LENGTH], TIMESTAMP)
                created, name = stamp.astimezone(), given[TIMESTAMP_LENGTH + 1 :]
            except ValueError:
                self.fail("experiment", f"{given!r:.60} does not begin with a time such as "
                          "2022_m12_d14@14_58_06_")  # fmt: skip
                return "unnamed", None
        try:
            return check_name(name), created
        except ValueError as error:
            self.fail("experiment", str(error))
            return "unnamed", None

    def _choose_metric(self, workload: str | None) -> dict[str, Any]:
        metric: dict[str, Any] = {}
        if workload is not None:
            metric = dataclasses.asdict(load_primary_metric(workload))
        metric |= {key: value for key, value in self.table.metric.items() if value is not None}
        if self.options.metric is not None and self.options.metric != metric.get("name"):
            metric = {"name": self.options.metric}
        if self.options.success_below is not None:
            metric["success_below"] = self.options.success_below
        known = list(dict.fromkeys(name for r in self.table.results for name in r.metrics))
        if "name" not in metric:
            if len(known) != 1:
                found = f"; the metrics are: {', '.join(known)}" if known else ""
                self.fail("metric", f"which metric judges runs? say it with --metric NAME{found}")
                return {"name": VALUE, "title": VALUE}
            metric["name"] = known[0]
        if not _METRIC_NAME.fullmatch(str(metric["name"])):
            self.fail("metric", f"{metric['name']!r:.60} cannot name a metric")
        metric.setdefault("title", str(metric["name"]).replace("_", " "))
        for key in ("success_below", "cap"):
            value = metric.get(key)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                self.fail(f"metric.{key}", f"{value!r:.40} is no number")
        return metric

    def _check_comparison(self) -> dict[str, Any]:
        given = dict(self.table.comparison)
        for fault in find_faults(Comparison, given, noun="key of comparison"):
            where = ".".join(["comparison", *(str(name) for name in fault.names)])
            self.fail(where, fault.message)
        has_inits = all(result.rand_init is not None for result in self.table.results)
        if self.faults:
            return {}
        # Runs that nobody numbered share no initialisation.
        return {**Comparison.model_validate(given).model_dump(), "paired": has_inits
                and bool(given.get("paired", True))}  # fmt: skip

    def _choose_variables(self) -> tuple[str, ...]:
        """What was varied on purpose: as said, else everything that varies."""
        results = self.table.results
        if any(result.group is not None for result in results):
            return (GROUP,)
        names = list(dict.fromkeys(name for result in results for name in result.params))
        declared = self.options.variables or self.table.variables
        if declared is not None:
            for name in declared:
                if name not in names:
                    self.fail("variables", f"no such hyperparameter: {name}; there are: "
                              f"{', '.join(names)}")  # fmt: skip
            return tuple(declared)
        return tuple(name for name in names if len({repr(r.params.get(name)) for r in results}) > 1)

    def _make_groups(self, variables: Sequence[str]) -> dict[str, list[Result]]:
        """Results by group; two settings of what was not declared cannot share a group."""
        groups: dict[str, list[Result]] = {}
        for result in self.table.results:
            values = _pick_values(result, variables)
            named = [values.pop(GROUP)] if GROUP in values else []
            try:
                (group,) = expand_groups({n: [v] for n, v in values.items()}, named=named)
            except (TypeError, ValueError) as error:
                self.fail(result.where, str(error), result.line)
                continue
            members = groups.setdefault(group.name, [])
            members.append(result)
            other = members[0].params
            differing = [n for n in result.params if result.params[n] != other.get(n)]
            if differing:
                self.fail(
                    result.where,
                    f"differs from other runs of {group.name} in {', '.join(differing)}; name "
                    "what was varied with --variable NAME",
                    result.line,
                )
        return groups

    def _make_config(self, workload: str | None, results: Sequence[Result]) -> dict[str, Any]:
        """All hyperparameters of a group, nested; of a known workload checked and completed."""
        nested = apply_dotted({}, dict(sorted(results[0].params.items())))
        if workload is None:
            return nested
        config_class = load_config_class(workload)
        try:
            return config_class.model_validate(nested).model_dump(mode="json")
        except ValidationError as error:
            noun = f"hyperparameter of workload {workload}"
            for fault in translate_errors(error, model=config_class, data=nested, noun=noun):
                where = ".".join(["params", *(str(name) for name in fault.names)])
                self.fail(where, fault.message, results[0].line)
            return {}

    def _number(self, results: Sequence[Result]) -> dict[int, Result]:
        """Results by initialisation: as numbered in the file, else in its order."""
        if any(result.rand_init is None for result in self.table.results):
            return dict(enumerate(results))
        numbered: dict[int, Result] = {}
        for result in results:
            assert result.rand_init is not None
            if result.rand_init in numbered:
                self.fail(result.where, f"rand_init {result.rand_init} is given twice in its group",
                          result.line)  # fmt: skip
            numbered[result.rand_init] = result
        return numbered

    def _require_values(self, results: Any, metric: str) -> None:
        for result in results:
            finished = result.state in FINISHED and result.state is not State.DIVERGED
            if finished and _find_value(result, metric) is None:
                self.fail(result.where, f"has no {metric}; a run without one is failed, missing "
                          "or diverged", result.line)  # fmt: skip


def _fill(aside: ExperimentDir, planned: _Import) -> None:
    """Write each run's last validation and how it ended."""
    metric = planned.plan.primary_metric["name"]
    columns = list(
        dict.fromkeys([metric, *(n for r in planned.results.values() for n in r.metrics)])
    )
    for run in planned.plan.runs:
        result, run_dir = planned.results[run.name], aside.run(run.name)
        epoch, step = _find_length(planned.plan, run.group, result)
        value = _find_value(result, metric)
        values = {**result.metrics, **({} if value is None else {metric: value})}
        if values:
            with MetricsWriter.start(
                run_dir.path, attempt=1, columns=columns, resume_step=None
            ) as writer:
                writer.append([MetricsRow(epoch, step, "validate", time.time(), values)])
        status = RunStatus(
            state=result.state,
            attempt=1,
            epoch=epoch,
            num_epochs=epoch,
            step=step,
            num_steps=step,
            reason=result.reason or _explain(result, planned),
            metrics=values,
            updated=time.time(),
        )
        write_status(run_dir, status)


def _explain(result: Result, planned: _Import) -> str:
    return f"{result.state} as {planned.file_name} says" if result.state in _TROUBLED else ""


def _find_length(plan: Plan, group: str, result: Result) -> tuple[int, int]:
    """Epochs and steps that a run was trained for, as far as is known; else 1."""
    epochs, steps = result.epoch or 1, result.epoch or 1
    if plan.workload != IMPORTED:
        config = load_config_class(plan.workload).model_validate(plan.configs[group])
        epochs = result.epoch or config.num_epochs
        steps = min(epochs * config.steps_per_epoch, config.num_steps)
    return epochs, steps


def _find_value(result: Result, metric: str) -> float | None:
    return result.metrics.get(metric) if result.value is None else result.value


def _pick_values(result: Result, variables: Sequence[str]) -> dict[str, Any]:
    values = {name: result.params.get(name) for name in variables if name != GROUP}
    return {GROUP: result.group or "unnamed", **values} if GROUP in variables else values


def _list_values(name: str, results: Any) -> list[Any]:
    values: list[Any] = []
    for result in results:
        if result.params.get(name) not in values:
            values.append(result.params.get(name))
    return values


def _make_safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name).lstrip(".+-")[:64] or "results"


def _refuse_existing(planned: _Import, experiments_dir: Path) -> None:
    if planned.created is None:
        return
    name = f"{planned.created.strftime(TIMESTAMP)}_{planned.plan.name}"
    if ExperimentDir(experiments_dir / name).record_path.exists():
        raise UsageError(f"{experiments_dir / name} exists already; nothing was made")
