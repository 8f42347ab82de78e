"""A search that learns from results: what is due next, from the experiment directory alone.

Finished runs are what it has learnt, and the plan says what it has tried: there is no other
state, no server and no driver. Killed at any moment, it goes on from there; the same results
give the same next samples.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.extend import Request, apply_change, plan_change
from hpcexp.launch.new_samples import find_flaw, read_space
from hpcexp.launch.regroup import read_configs, spell_values
from hpcexp.launch.submit import settle_all, submitting
from hpcexp.sampling import Space
from hpcexp.store.experiment import Plan, PlannedGroup, read_plan, write_plan
from hpcexp.store.extending import finish_extensions
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.searching import (
    GIVEN_UP,
    count_samples,
    is_search_cancelled,
    is_searching,
    read_search_job,
    restore_search,
)
from hpcexp.store.status import FINISHED, RunStatus
from hpcexp.store.statuses import read_settled

FindFlaw = Callable[[Mapping[str, Any]], str]
"""Why the workload refuses the values of a sample; nothing where it does not."""

Suggest = Callable[[ExperimentDir, int, FindFlaw], Sequence[Mapping[str, Any]]]
"""So many new samples without a flaw from the results so far; fewer where there are no more."""


@dataclass(frozen=True)
class SearchStep:
    """What `advance_search` found and did.

    `new` are the groups that it added, `waiting` the runs whose results the next samples wait
    for. `failed` are runs that the search went on without, `refused` samples that the workload
    does not accept, and why: others were asked for instead. `is_cancelled`: somebody cancelled the
    experiment, and the search waits for somebody who goes on with it.
    """

    plan: Plan
    space: Space
    new: tuple[PlannedGroup, ...] = ()
    waiting: Mapping[str, RunStatus] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    is_cancelled: bool = False

    @property
    def num_samples(self) -> int:
        """Samples that have been made."""
        return count_samples(self.plan)

    @property
    def is_over(self) -> bool:
        """Whether all samples are made and their runs have ended."""
        return not is_searching(self.plan) and not self.waiting


def advance_search(
    experiment: ExperimentDir, suggest: Suggest, *, count: int | None = None
) -> SearchStep:
    """Make the next samples if those before have ended; nothing is submitted.

    `count` is another number of samples in all. Raises UsageError where the experiment is no such
    search, HpcexpError where no run of the newest samples came to an end of its own.
    """
    provenance = collect_provenance(exclude=[experiment.path.parent])
    with submitting(experiment):
        settle_all(experiment)
        plan = finish_extensions(experiment)
        space = _read_adaptive(plan)
        if count is not None and count != space.count:
            plan, space = _change_count(experiment, plan, space, count)
        statuses = read_settled(experiment, [run.name for run in plan.runs])
        waiting = {n: s for n, s in statuses.items() if s.state not in FINISHED | GIVEN_UP}
        failed = tuple(n for n, s in statuses.items() if s.state in GIVEN_UP)
        num_wanted = min(space.at_once, space.count - count_samples(plan))
        is_cancelled = is_search_cancelled(experiment, plan)
        if waiting or num_wanted <= 0 or is_cancelled:
            return SearchStep(plan, space, (), waiting, failed, is_cancelled=is_cancelled)
        _check_progress(plan, space, failed)
        flaws = _Flaws(experiment, plan)
        points = suggest(experiment, num_wanted, flaws.find)
        if not points:
            raise _explain_end(experiment, plan, flaws.refused)
        num_groups = len(plan.groups)
        change = plan_change(experiment, Request(points=points))
        plan = apply_change(experiment, change, provenance).plan
        fresh = {name: RunStatus() for name in change.new_runs}
        refused = tuple(flaws.refused)
        return SearchStep(plan, space, plan.groups[num_groups:], fresh, failed, refused)


def take_up_search(experiment: ExperimentDir) -> None:
    """Somebody wants to go on with a search, whether it was cancelled or not.

    Its own job is nobody: one that began while the experiment was cancelled leaves it so.
    """
    plan = read_plan(experiment)
    job = read_search_job(experiment, plan)
    own = os.environ.get("SLURM_JOB_ID")
    if job is None or not own or job.job_id != own:
        restore_search(experiment, plan)


class _Flaws:
    """What the workload refused of what was asked for."""

    def __init__(self, experiment: ExperimentDir, plan: Plan) -> None:
        self.experiment, self.plan = experiment, plan
        self.configs = read_configs(experiment, plan)
        self.refused: list[str] = []

    def find(self, values: Mapping[str, Any]) -> str:
        """Why a sample of these values cannot be; empty where it can."""
        flaw = find_flaw(self.experiment, self.plan, self.configs, values)
        if flaw:
            self.refused.append(f"{', '.join(spell_values(values))}: {flaw}")
        return flaw


def _explain_end(experiment: ExperimentDir, plan: Plan, refused: Sequence[str]) -> UsageError:
    made = count_samples(plan)
    if not refused:
        return UsageError(f"{experiment.name}: {made} samples are all that its axes allow")
    return UsageError(
        f"{experiment.name}: {made} samples are made, and the workload refuses all "
        f"{len(refused)} that were asked for after them, such as {refused[0]}. Narrow the axes, or "
        "keep such combinations out with a condition (only_if), and launch it anew"
    )


def _read_adaptive(plan: Plan) -> Space:
    space = read_space(plan)
    if not space.is_adaptive:
        raise UsageError(
            f"{plan.name}: its samples do not depend on results (method: {space.method}); "
            "hpcexp extend --samples adds more, method: tpe learns from results"
        )
    return space


def _change_count(
    experiment: ExperimentDir, plan: Plan, space: Space, count: int
) -> tuple[Plan, Space]:
    made = count_samples(plan)
    if count < made:
        raise UsageError(
            f"{experiment.name}: has {made} samples already: --samples is their number in all"
        )
    plan = dataclasses.replace(plan, sample={**plan.sample, "count": count})
    write_plan(experiment, plan)
    return plan, dataclasses.replace(space, count=count)


def _check_progress(plan: Plan, space: Space, failed: Sequence[str]) -> None:
    """A search whose newest samples all failed would use its whole budget up on failures."""
    newest = [group.name for group in plan.groups[-space.at_once :]]
    runs = [run.name for run in plan.runs if run.group in newest]
    if runs and set(runs) <= set(failed):
        raise HpcexpError(
            f"{plan.name}: none of the {len(runs)} newest runs came to an end of its own "
            f"({runs[0]}, ...): nothing can be learnt from them. hpcexp status says why; after "
            "hpcexp retry the search goes on"
        )
