"""Which runs others start from: their parameters are needed for as long as those may train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, read_plan, read_run_config
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir

MAX_NAMED = 3
_KEY = "warm_start"


@dataclass(frozen=True)
class Dependents:
    """By run, the experiments that start from it. `problems` are experiments that hide theirs."""

    by_run: Mapping[Path, tuple[str, ...]]
    problems: tuple[str, ...] = ()

    def find(self, run_path: Path) -> tuple[str, ...]:
        """The experiments that start from a run."""
        return self.by_run.get(run_path.resolve(), ())

    def describe(self) -> str:
        """The experiments, the first few by name."""
        names = sorted({name for found in self.by_run.values() for name in found})
        rest = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return f"{', '.join(names[:MAX_NAMED])}{rest}"


def find_dependents(experiments: Sequence[ExperimentDir]) -> Dependents:
    """Who starts from runs of these experiments, among those that lie beside them.

    Archived ones are not looked into: they do not train.
    """
    sources = {experiment.path.resolve() for experiment in experiments}
    by_run: dict[Path, list[str]] = {}
    problems = []
    for directory in {path.parent for path in sources}:
        for other in list_experiments(directory):
            try:
                found = set(_list_sources(other))
            except HpcexpError as error:
                problems.append(f"{other.name}: what it starts from is not known ({error})")
                continue
            for path in found:
                is_other = path.parent.parent != other.path.resolve()
                if is_other and path.parent.parent in sources:
                    by_run.setdefault(path, []).append(other.name)
    return Dependents({path: tuple(names) for path, names in by_run.items()}, tuple(problems))


def _list_sources(experiment: ExperimentDir) -> Iterator[Path]:
    """The runs that an experiment's runs start from."""
    if not _mentions_warm_start(experiment):
        return
    plan = read_plan(experiment)
    for group in plan.groups:
        runs = [run for run in plan.runs if run.group == group.name]
        # A path is the same for all runs of a group, but for the initialisation.
        template = _read_source(experiment, plan, group.name)
        if template is not None:
            for run in runs:
                yield Path(template.format(rand_init=run.rand_init)).resolve()


def _read_source(experiment: ExperimentDir, plan: Plan, group: str) -> str | None:
    first = next((run.name for run in plan.runs if run.group == group), None)
    if first is None:
        return None
    settings = read_run_config(experiment.run(first)).params.get(_KEY)
    return str(settings["run"]) if settings else None


def _mentions_warm_start(experiment: ExperimentDir) -> bool:
    """Whether it is worth opening configurations: hundreds of experiments may lie there."""
    paths = [experiment.plan_path]
    if experiment.template_dir.is_dir():
        paths += sorted(experiment.template_dir.iterdir())
    try:
        return any(_KEY.encode() in path.read_bytes() for path in paths if path.is_file())
    except OSError as error:
        raise HpcexpError(f"{error.filename}: {error.strerror}") from error
