"""How far an experiment is, how long it will take, and what it has used."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hpcexp.launch.observe import Observation
from hpcexp.store.status import CUT_SHORT, FAILED, FINISHED, SETTLED, RunStatus, State

WAITING = frozenset({State.PENDING, State.SUBMITTED})
NEEDS_SOMEBODY = FAILED | CUT_SHORT


@dataclass(frozen=True)
class Counts:
    """Runs by what becomes of them: `failed` ones need somebody."""

    num_runs: int
    done: int
    running: int
    waiting: int
    failed: int
    cancelled: int


def count_runs(statuses: Sequence[RunStatus]) -> Counts:
    """Counts of some runs of an experiment."""

    def count(states: frozenset[State]) -> int:
        return sum(status.state in states for status in statuses)

    return Counts(
        num_runs=len(statuses),
        done=count(FINISHED),
        running=count(frozenset({State.RUNNING})),
        waiting=count(WAITING),
        failed=count(NEEDS_SOMEBODY),
        cancelled=count(frozenset({State.CANCELLED})),
    )


def measure_progress(statuses: Sequence[RunStatus]) -> float:
    """The share of the work that is done, from 0 to 1; an ended run is done with.

    Cancelled ones are no work any more; where there are no others, it is how far they came.
    """
    counted = [s for s in statuses if s.state != State.CANCELLED] or statuses
    if not counted:
        return 0.0
    ended = SETTLED - {State.CANCELLED}
    shares = [1.0 if s.state in ended else s.step / max(s.num_steps, 1) for s in counted]
    return sum(shares) / len(shares)


def estimate_seconds_left(observation: Observation) -> float | None:
    """Until the last run ends, if as many train side by side as do now; None if unknown."""
    statuses = list(observation.statuses.values())
    running = [s for s in statuses if s.state == State.RUNNING and s.step and s.num_steps]
    begun = [s for s in statuses if s.step and s.trained_s and s.num_steps]
    if not running or not begun:
        return None
    usual = statistics.median(s.trained_s / s.step * s.num_steps for s in begun)
    left = [(s.num_steps - s.step) * s.trained_s / s.step for s in running]
    to_come = [usual * (1 - s.step / max(s.num_steps, 1)) for s in statuses if s.state in WAITING]
    return max(max(left), (sum(left) + sum(to_come)) / len(running))


def find_slowest(observation: Observation) -> tuple[str, float] | None:
    """The running run that will take longest, and its seconds, where others are far ahead."""
    left = {
        name: (s.num_steps - s.step) * s.trained_s / s.step
        for name, s in observation.statuses.items()
        if s.state == State.RUNNING and s.step and s.num_steps
    }
    if len(left) < 2:
        return None
    name = max(left, key=lambda name: left[name])
    return (name, left[name]) if left[name] > 1.5 * statistics.median(left.values()) else None


def sum_gpu_hours(observation: Observation) -> float:
    """GPU-hours used so far, all attempts; 0 where jobs ask for no GPU."""
    seconds = sum(status.trained_s for status in observation.statuses.values())
    return seconds * int(observation.plan.resources.get("gpus", 0)) / 3600


def sum_cpu_hours(observation: Observation) -> float:
    """Core-hours used so far, all attempts."""
    seconds = sum(status.trained_s for status in observation.statuses.values())
    return seconds * int(observation.plan.resources.get("cpus", 1)) / 3600
