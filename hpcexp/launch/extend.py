"""More initialisations, more groups, or longer training for an experiment that exists."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.launch.dependents import find_dependents
from hpcexp.launch.longer import Continued, Longer, choose_continued, raise_budget
from hpcexp.launch.new_groups import Added, add_groups
from hpcexp.launch.new_samples import add_points, add_samples
from hpcexp.launch.observe import observe
from hpcexp.launch.regroup import check_as_launched, read_configs
from hpcexp.launch.submit import settle_all, submitting
from hpcexp.launch.warm_start import locate_warm_start
from hpcexp.store.deciding import read_deciding
from hpcexp.store.experiment import Plan, PlannedRun, read_plan
from hpcexp.store.extending import finish_extensions, write_extension
from hpcexp.store.extension import Extension
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import Provenance, collect_provenance
from hpcexp.template import MAX_RUNS, parse_budget


@dataclass(frozen=True)
class Request:
    """What a user asks for: `rand_inits` in all (of the groups in `only`), `samples` in all, texts
    of the others.

    `points` are the values of samples that a search chose.
    """

    rand_inits: int | None = None
    only: Sequence[str] = ()
    settings: Sequence[str] = ()
    groups: Sequence[str] = ()
    samples: int | None = None
    points: Sequence[Mapping[str, Any]] = ()

    @property
    def makes_groups(self) -> bool:
        """Whether there will be groups that there were not."""
        return bool(self.groups or self.samples is not None or self.points)


@dataclass(frozen=True)
class Change:
    """An experiment as it will be. `notes` are worth knowing."""

    plan: Plan
    new_groups: tuple[str, ...]
    new_runs: tuple[str, ...]
    longer: Longer | None
    continued: Continued
    notes: tuple[str, ...]

    @property
    def run_names(self) -> tuple[str, ...]:
        """The runs that are to be submitted: new ones, and those that go on."""
        return (*self.new_runs, *self.continued.runs)

    @property
    def budget(self) -> Mapping[str, Any]:
        """What was raised."""
        return {} if self.longer is None else self.longer.budget


def extend(experiment: ExperimentDir, request: Request) -> Change:
    """Extend an experiment; nothing is submitted yet.

    Raises UsageError for what cannot be, HpcexpError where Slurm did not answer or the disk
    refused: nothing has changed then.
    """
    provenance = collect_provenance(exclude=[experiment.path.parent])
    with submitting(experiment):
        settle_all(experiment)
        finish_extensions(experiment)
        return apply_change(experiment, plan_change(experiment, request), provenance)


def apply_change(experiment: ExperimentDir, change: Change, provenance: Provenance) -> Change:
    """Write what was planned, under the submission lock; returns it with the plan as it is then."""
    plan = _record(change, provenance)
    write_extension(experiment, plan, provenance)
    return dataclasses.replace(change, plan=plan)


def plan_change(experiment: ExperimentDir, request: Request) -> Change:
    """What an extension would do; reads only.

    Raises as `extend` does.
    """
    budget = parse_budget(request.settings)
    _check_request(request)
    plan = read_plan(experiment)
    if plan.is_imported:
        raise UsageError(
            f"{experiment.name}: its results were imported, and its runs trained elsewhere; "
            "nothing here can add to them"
        )
    configs: Mapping[str, Mapping[str, Any]] = read_configs(experiment, plan)
    before, longer, continued = configs, None, Continued({})
    if budget or request.makes_groups:
        check_as_launched(plan, configs)
    if budget:
        _check_not_deciding(experiment)
    if budget:
        longer = raise_budget(experiment, plan, configs, budget)
        continued = choose_continued(observe(experiment), before, longer)
        plan, configs = longer.plan, longer.configs
    num_groups = len(plan.groups)
    if request.groups:
        added = add_groups(experiment, plan, configs, request.groups)
        plan, configs = added.plan, added.configs
    if request.samples is not None:
        added = add_samples(experiment, plan, configs, request.samples)
        plan, configs = added.plan, added.configs
    if request.points:
        added = add_points(experiment, plan, configs, request.points)
        plan, configs = added.plan, added.configs
    new_groups = tuple(group.name for group in plan.groups[num_groups:])
    plan, new_runs = _add_runs(Added(plan, configs), request, new_groups)
    _check_effect(experiment, request, new_runs, continued)
    return Change(
        plan, new_groups, new_runs, longer, continued, tuple(_list_notes(experiment, continued))
    )


def _check_request(request: Request) -> None:
    if request.rand_inits is None and not request.settings and not request.makes_groups:
        raise UsageError(
            "say what to add: --rand-inits NUMBER, --samples NUMBER, --set max_epoch=NUMBER or "
            "--add-group KEY=VALUE"
        )
    if request.only and request.rand_inits is None:
        raise UsageError(
            "--only says which groups get more initialisations: give --rand-inits as well; "
            "--set is about all groups"
        )


def _check_not_deciding(experiment: ExperimentDir) -> None:
    deciding = read_deciding(experiment)
    if deciding is not None and not deciding.is_over:
        raise UsageError(
            f"{experiment.name}: is being decided by looks at runs of this budget "
            "(--until-decided): its runs can be trained longer once that is over"
        )


def _add_runs(
    added: Added, request: Request, new_groups: Sequence[str]
) -> tuple[Plan, tuple[str, ...]]:
    """The plan with all its runs, group by group; the names of those that are new."""
    plan = added.plan
    chosen = _choose_groups(plan, request.only)
    rand_inits = plan.rand_inits
    if request.rand_inits is not None and not request.only:
        rand_inits = max(rand_inits, request.rand_inits)
    runs: list[PlannedRun] = []
    new: list[str] = []
    configs = {}
    for group, known in plan.list_members().items():
        wanted = rand_inits if group in new_groups else 0
        if request.rand_inits is not None and group in chosen:
            wanted = max(wanted, request.rand_inits)
        if len(runs) + max(wanted, len(known)) > MAX_RUNS:
            raise UsageError(f"{plan.name}: more than {MAX_RUNS} runs; nothing was changed")
        there = {run.rand_init for run in known}
        missing = [n for n in range(wanted) if n not in there]
        added_runs = [PlannedRun(f"{group}_rand_{n}", group, n) for n in missing]
        runs += sorted([*known, *added_runs], key=lambda run: run.rand_init)
        new += [run.name for run in added_runs]
        configs[group] = added.configs[group]
        if missing:
            total = max(there | set(missing)) + 1
            configs[group] = locate_warm_start(configs[group], rand_inits=total)
    extended = dataclasses.replace(plan, runs=tuple(runs), rand_inits=rand_inits, configs=configs)
    return extended, tuple(new)


def _choose_groups(plan: Plan, only: Sequence[str]) -> set[str]:
    """Groups by name, by pattern, or several with commas between them; all where none is named."""
    names = [group.name for group in plan.groups]
    if not only:
        return set(names)
    chosen: set[str] = set()
    for text in only:
        parts = [text] if text in names else text.split(",")
        for part in parts:
            matching = [name for name in names if name == part or fnmatchcase(name, part)]
            if not matching:
                raise UsageError(
                    f"--only {text}: {plan.name} has no group {part!r}; there are: "
                    f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
                )
            chosen.update(matching)
    return chosen


def _check_effect(
    experiment: ExperimentDir, request: Request, new_runs: Sequence[str], continued: Continued
) -> None:
    if new_runs or continued.runs or continued.unfinished:
        return
    if request.settings:
        raise UsageError(
            f"{experiment.name}: no run would train longer: all of them ended of their own before "
            "their budget did, and would end there again; nothing was changed"
        )
    which = f"the groups {', '.join(request.only)} have" if request.only else "every group has"
    raise UsageError(
        f"{experiment.name}: {which} {request.rand_inits} initialisations or more already: "
        "--rand-inits is their number in all; nothing was changed. What is unfinished is trained "
        f"by hpcexp resume {experiment.name}"
    )


def _list_notes(experiment: ExperimentDir, continued: Continued) -> list[str]:
    if not continued.runs:
        return []
    dependents = find_dependents([experiment])
    notes = list(dependents.problems)
    if dependents.by_run:
        notes.append(
            f"others start from runs of this experiment: {dependents.describe()}; what of them is "
            "still to be trained may start from longer training"
        )
    return notes


def _record(change: Change, provenance: Provenance) -> Plan:
    """The plan with the extension as its last."""
    extension = Extension(
        number=1 + max((e.number for e in change.plan.extensions), default=0),
        created=provenance.created,
        command=provenance.command,
        user=provenance.user,
        commit=provenance.git.commit if provenance.git else None,
        groups=change.new_groups,
        runs=change.new_runs,
        budget=change.budget,
        former_budget={} if change.longer is None else change.longer.former,
        continued=change.continued.runs,
        is_applied=change.longer is None,
    )
    return dataclasses.replace(change.plan, extensions=(*change.plan.extensions, extension))
