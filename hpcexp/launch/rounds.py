"""Training in rounds: what the runs of one came to decides which the next has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hpcexp.launch.executor import DetachedExecutor
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.resume import Choice, make_chooser
from hpcexp.launch.submit import Handed
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State

Choose = Callable[[], list[str]]


class Round(Protocol):
    """How far it is; `waiting` are the runs that the next round waits for."""

    @property
    def is_over(self) -> bool:
        """Whether no round follows."""

    @property
    def waiting(self) -> Mapping[str, RunStatus]:
        """Runs by name, with their statuses."""


RoundT = TypeVar("RoundT", bound=Round)


@dataclass(frozen=True)
class RoundsEnd(Generic[RoundT]):
    """The last round, and all runs that were submitted or trained.

    `is_stuck`: what the next round waits for has failed or was interrupted, and waits for
    somebody; `was_interrupted`: somebody ended what trained here.
    """

    last: RoundT
    runs: list[str]
    is_stuck: bool = False
    was_interrupted: bool = False


def train_in_rounds(
    experiment: ExperimentDir,
    advance: Callable[[], RoundT],
    hand: Callable[[Choose], Handed],
    *,
    executor: str,
    choose: Choose | None = None,
) -> RoundsEnd[RoundT]:
    """Advance and train, on this machine until it is over; on a cluster a small job goes on.

    `hand` submits or trains the runs that are chosen. Those that somebody asked for, which
    `choose` names, come before anything else: without them there may be no going on. Later they
    are those that were not tried yet: what failed or was interrupted waits for somebody.
    """
    is_detached = isinstance(EXECUTORS[executor], DetachedExecutor)
    runs: list[str] = []
    if choose is not None:
        handed = hand(choose)
        runs += handed.run_names
        if not handed.is_done:
            return RoundsEnd(advance(), runs, was_interrupted=True)
    while True:
        step = advance()
        if step.is_over:
            return RoundsEnd(step, runs)
        handed = hand(_make_chooser(experiment, step))
        runs += handed.run_names
        if is_detached or not handed.is_done or not handed.run_names:
            return RoundsEnd(
                step, runs, is_stuck=not is_detached, was_interrupted=not handed.is_done
            )


def _make_chooser(experiment: ExperimentDir, step: Round) -> Choose:
    """Chooses the runs that nobody has tried, or works on."""
    untried = [n for n, status in step.waiting.items() if status.state == State.PENDING]
    return make_chooser(experiment, Choice(untried, (State.PENDING,))) if untried else list
