"""Deciding an experiment by several looks: what is due next, from what stands on disk alone.

`advance` takes the looks that are due and makes the runs of the next one. Killed at any moment,
it is done again from where it was: a look is written before anything follows from it, and runs
are made by one replacement of the plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hpcexp.errors import UsageError
from hpcexp.launch.extend import Request, apply_change, plan_change
from hpcexp.launch.observe import observe
from hpcexp.launch.selection import select_runs
from hpcexp.launch.standings import list_look_runs, spell_looks
from hpcexp.launch.submit import settle_all, submitting
from hpcexp.store.deciding import (
    Deciding,
    DecidingPlan,
    Look,
    read_deciding,
    write_deciding,
)
from hpcexp.store.experiment import Plan
from hpcexp.store.extending import finish_extensions
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.status import FAILED, FINISHED, RunStatus, State
from hpcexp.store.statuses import read_one, read_settled
from hpcexp.worker.notify import notify_if_ended

TakeLook = Callable[[ExperimentDir, Deciding], Look | tuple[str, ...]]
"""Judges the runs of the look that is due; or returns those that show no result."""

_GIVEN_UP = FAILED | {State.CANCELLED, State.LOST}


@dataclass(frozen=True)
class Step:
    """What `advance` found and did.

    `taken` are the looks that it took, `new_runs` what it added. `waiting` are the runs that the
    next look still waits for, with their statuses as they stand on disk.
    """

    deciding: Deciding
    taken: tuple[Look, ...] = ()
    new_runs: tuple[str, ...] = ()
    waiting: Mapping[str, RunStatus] = dataclasses.field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether no look is to come."""
        return self.deciding.is_over


def check_deciding(experiment: ExperimentDir, plan: DecidingPlan) -> None:
    """Raise UsageError where looks were begun before, or runs could not be added up to the last."""
    if (deciding := read_deciding(experiment)) is not None:
        if deciding.is_over:
            raise UsageError(
                f"{experiment.name}: its plan of looks has come to its end; a second one would "
                "spend the same level twice. hpcexp extend --rand-inits adds runs without a test"
            )
        raise UsageError(
            f"{experiment.name}: is being decided already, at looks of {spell_looks(plan.looks)} "
            f"initialisations per group: hpcexp resume {experiment.name} goes on"
        )
    plan_change(experiment, Request(rand_inits=plan.looks[-1], only=plan.groups))


def begin_deciding(experiment: ExperimentDir, plan: DecidingPlan) -> None:
    """Write the plan of looks; nothing else happens yet.

    Raises as `check_deciding` does.
    """
    with submitting(experiment):
        settle_all(experiment)
        finish_extensions(experiment)
        check_deciding(experiment, plan)
        write_deciding(experiment, Deciding(plan))


def advance(experiment: ExperimentDir, take_look: TakeLook) -> Step:
    """Take the looks that are due, and make the runs of the next; nothing is submitted.

    Raises UsageError where there is no plan of looks, HpcexpError where the disk refuses.
    """
    provenance = collect_provenance(exclude=[experiment.path.parent])
    taken: list[Look] = []
    new_runs: list[str] = []
    with submitting(experiment):
        settle_all(experiment)
        plan = finish_extensions(experiment)
        deciding = require_deciding(experiment)
        waiting: dict[str, RunStatus] = {}
        while not deciding.is_over:
            if _lacks_runs(plan, deciding):
                request = Request(rand_inits=deciding.next_rand_inits, only=deciding.open_groups)
                change = apply_change(experiment, plan_change(experiment, request), provenance)
                plan, new_runs = change.plan, [*new_runs, *change.new_runs]
            if waiting := find_waiting(experiment, plan, deciding):
                break
            found = take_look(experiment, deciding)
            if not isinstance(found, Look):
                statuses = read_settled(experiment, [run.name for run in plan.runs])
                waiting = {name: statuses[name] for name in found}
                break
            deciding = dataclasses.replace(deciding, looks=(*deciding.looks, found))
            write_deciding(experiment, deciding)
            taken.append(found)
    if taken and deciding.is_over:
        notify_if_ended(experiment)
    return Step(deciding, tuple(taken), tuple(new_runs), waiting)


def require_deciding(experiment: ExperimentDir) -> Deciding:
    """The plan of looks.

    Raises UsageError where there is none.
    """
    deciding = read_deciding(experiment)
    if deciding is None:
        raise UsageError(
            f"{experiment.name}: has no plan of looks; hpcexp extend {experiment.name} "
            "--until-decided makes one"
        )
    return deciding


def find_waiting(experiment: ExperimentDir, plan: Plan, deciding: Deciding) -> dict[str, RunStatus]:
    """The runs of the next look that have not come to an end of their own, as the disk says.

    A process that died when it had ended a run may not have told the summary: then the run's
    own file counts.
    """
    statuses = read_settled(experiment, [run.name for run in plan.runs])
    waiting = {}
    for name in list_look_runs(plan, deciding):
        if statuses[name].state not in FINISHED:
            status = read_one(experiment, name)
            if status.state not in FINISHED:
                waiting[name] = status
    return waiting


def leave_out(
    experiment: ExperimentDir, names: Sequence[str], *, lacking: Sequence[str] = ()
) -> tuple[str, ...]:
    """Have looks go on without runs that have failed or were cancelled; returns their names.

    `names` are runs, groups or patterns; `lacking` are runs that claim to have ended and show no
    result, which can be left out as well. A run with a result cannot be left out: who chooses
    among results finds what was looked for.
    Raises UsageError where no named run could be left out.
    """
    with submitting(experiment):
        deciding = require_deciding(experiment)
        observation = observe(experiment)
        states = {n: observation.statuses[n].state for n in select_runs(observation, names)}
        due = set(list_look_runs(observation.plan, deciding))
        chosen = tuple(
            n for n, state in states.items() if n in due and (state in _GIVEN_UP or n in lacking)
        )
        if not chosen:
            found = ", ".join(f"{n} is {state.words}" for n, state in list(states.items())[:3])
            raise UsageError(
                f"{experiment.name}: only runs that a look waits for and that failed or were "
                f"cancelled can be left out; {found}. hpcexp cancel gives up a run that trains"
            )
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        left_out = {**deciding.left_out, **dict.fromkeys(chosen, now)}
        write_deciding(experiment, dataclasses.replace(deciding, left_out=left_out))
    return chosen


def _lacks_runs(plan: Plan, deciding: Deciding) -> bool:
    members = plan.list_members()
    needed = deciding.next_rand_inits
    return any(len(members[group]) < needed for group in deciding.open_groups)
