"""Looks and their plan as lines of text."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hpcexp.launch.standings import count_standings, spell_looks
from hpcexp.store.deciding import Deciding, DecidingPlan, Look, PairStanding, Standing
from hpcexp.store.status import FINISHED, RunStatus, State

if TYPE_CHECKING:
    from hpcexp.launch.observe import Observation
    from hpcexp.store.layout import ExperimentDir

MAX_PAIRS_SHOWN = 10
_WIDTH = 14
WORDS = {
    Standing.OPEN: "open",
    Standing.DIFFERENT: "different",
    Standing.EQUIVALENT: "equivalent",
    Standing.FUTILE: "given up",
    Standing.UNDECIDED: "undecided",
}
_IN_HANDS = frozenset({State.PENDING, State.SUBMITTED, State.RUNNING})


def describe_plan(
    plan: DecidingPlan, levels: Sequence[float], *, num_at_hand: Mapping[str, int]
) -> Iterator[str]:
    """The looks, what each needs at most, and what p it asks for."""
    together = " for all of them together" if len(plan.pairs) > 1 else ""
    spent = f"level {100 * plan.alpha:g} %{together} ({plan.spending} spending)"
    yield f"  pairs       {plan.family}, {spent}"
    if plan.margin is not None:
        yield f"  margin      {plan.margin:g}: pairs that differ by less are equivalent"
    for number, (rand_inits, level) in enumerate(zip(plan.looks, levels, strict=True), start=1):
        added = sum(max(0, rand_inits - num_at_hand[group]) for group in plan.groups)
        new = "the runs at hand" if added == 0 else f"at most {added} new runs in all"
        yield (
            f"  look {number}      {rand_inits} initialisations per group, {new}; the first pair "
            f"needs p <= {level:.2g}"
        )
    if plan.futility:
        share = f"{100 * plan.futility:g} %"
        yield f"  giving up   pairs whose chance to be decided falls under {share}"


def estimate_use(
    observation: Observation, plan: DecidingPlan, num_at_hand: Mapping[str, int]
) -> dict[str, float | int | None]:
    """The most that the plan may add: runs, and hours if they take as long as those so far."""
    num_runs = sum(max(0, plan.looks[-1] - num_at_hand[group]) for group in plan.groups)
    took = [s.trained_s for s in observation.statuses.values() if s.is_finished and s.trained_s]
    hours = num_runs * statistics.fmean(took) / 3600 if took else None
    resources = observation.plan.resources
    return {
        "max_new_runs": num_runs,
        "max_gpu_hours": None if hours is None else hours * int(resources.get("gpus", 0)),
        "max_cpu_hours": None if hours is None else hours * int(resources.get("cpus", 1)),
    }


def describe_use(use: Mapping[str, float | int | None]) -> Iterator[str]:
    """`at most 116 new runs, 12.3 GPU-hours if they take as long as the runs at hand`."""
    hours = ""
    if use["max_gpu_hours"]:
        hours = f", {use['max_gpu_hours']:.1f} GPU-hours"
    elif use["max_cpu_hours"]:
        hours = f", {use['max_cpu_hours']:.2g} CPU-hours"
    end = " if they take as long as the runs at hand" if hours else ""
    yield f"  at most     {use['max_new_runs']} new runs{hours}{end}"


def describe_look(look: Look) -> Iterator[str]:
    """What one look said of each pair."""
    yield f"look {look.number} at {look.rand_inits} initialisations per group"
    for pair in look.pairs[:MAX_PAIRS_SHOWN]:
        yield f"  {WORDS[pair.standing]:<{_WIDTH - 2}}{_describe_pair(pair)}"
    if len(look.pairs) > MAX_PAIRS_SHOWN:
        yield f"  and {len(look.pairs) - MAX_PAIRS_SHOWN} more pairs"


def _describe_pair(pair: PairStanding) -> str:
    chance = ""
    if pair.standing in (Standing.OPEN, Standing.FUTILE):
        chance = f", {100 * pair.conditional_power:.0f} % chance to be decided by more runs"
    return f"{pair.first} against {pair.second}: p = {pair.p:.2g}, level {pair.level:.2g}{chance}"


def describe_end(experiment: ExperimentDir, deciding: Deciding) -> Iterator[str]:
    """How it ended, and what to type next."""
    yield f"decided   after look {len(deciding.looks)}: {describe_standings(deciding)}"
    yield f"results   hpcexp plot {experiment.name}"


def describe_standings(deciding: Deciding) -> str:
    """`1 of 3 pairs different, 2 given up`."""
    total = len(deciding.plan.pairs)
    counts = count_standings(deciding)
    parts = [f"{count} {WORDS[standing]}" for standing, count in counts.items()]
    return f"of {total} pair{'' if total == 1 else 's'} {', '.join(parts)}"


def describe_deciding(
    experiment: ExperimentDir,
    deciding: Deciding,
    statuses: Mapping[str, RunStatus],
    *,
    is_job_live: bool | None = None,
) -> Iterator[str]:
    """For `status`: how far the looks are; `statuses` are of the runs of the next look."""
    yield (
        f"deciding: {len(deciding.looks)} of {len(deciding.plan.looks)} looks (at "
        f"{spell_looks(deciding.plan.looks)} per group), {describe_standings(deciding)}"
    )
    if not deciding.is_over:
        waiting = {n: s for n, s in statuses.items() if s.state not in FINISHED}
        yield from describe_wait(experiment, deciding, waiting, is_job_live=is_job_live)


def describe_wait(
    experiment: ExperimentDir,
    deciding: Deciding,
    waiting: Mapping[str, RunStatus],
    *,
    is_job_live: bool | None = None,
) -> Iterator[str]:
    """What the next look waits for, who takes it, and what to type where nobody does.

    `is_job_live` is whether its job is in the queue, None where that is not known.
    """
    number, name = len(deciding.looks) + 1, experiment.name
    look = f"look {number} (at {deciding.next_rand_inits} per group)"
    if not waiting:
        job = deciding.job
        taker = f"job {job.job_id}" if job is not None and is_job_live else f"hpcexp look {name}"
        yield f"{look} is due: {taker} takes it"
        return
    counts = Counter(status.state.words for status in waiting.values())
    states = ", ".join(f"{count} {words}" for words, count in counts.items())
    runs = "1 run" if len(waiting) == 1 else f"{len(waiting)} runs"
    yield f"{look} waits for {runs} ({states})"
    stuck = [n for n, status in waiting.items() if status.state not in _IN_HANDS]
    job = deciding.job
    if job is not None and job.look == number and job.problem:
        yield f"  its job is not in the queue yet: {job.problem}"
    elif job is not None and job.look == number and is_job_live is False:
        yield (
            f"  job {job.job_id}, which was to take it, is not in the queue any more: "
            f"hpcexp resume {name} submits another, or hpcexp look {name} takes it when the runs "
            "have ended"
        )
    elif job is not None and job.look == number and job.job_id and len(stuck) < len(waiting):
        yield f"  job {job.job_id} takes it when the jobs before it have ended"
    if stuck:
        yield (
            f"  {stuck[0]}{f' and {len(stuck) - 1} more' if len(stuck) > 1 else ''} will not end "
            f"by waiting: hpcexp resume {name}, or hpcexp look {name} --without RUN"
        )
