"""Training in rounds: what the runs of one came to decides which the next has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hpcexp.cli.outcome import FAILED_EXIT_CODE, INTERRUPTED_EXIT_CODE
from hpcexp.cli.training import hand_runs, report

if TYPE_CHECKING:
    from hpcexp.store.layout import ExperimentDir
    from hpcexp.store.status import RunStatus


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
    """The last round, all runs that were submitted or trained, and the command's exit code."""

    last: RoundT
    runs: list[str]
    code: int


def train_in_rounds(
    experiment: ExperimentDir,
    advance: Callable[[], RoundT],
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    choose: Callable[[], list[str]] | None,
    resources: Mapping[str, Any] | None,
) -> RoundsEnd[RoundT]:
    """Advance and train, on this machine until it is over; on a cluster a small job goes on.

    `choose` names the runs of the first round, where somebody asked for some; else they are
    those that were not tried yet: what failed or was interrupted waits for somebody.
    """
    from hpcexp.launch.executor import DetachedExecutor
    from hpcexp.launch.executors import EXECUTORS

    is_detached = isinstance(EXECUTORS[executor], DetachedExecutor)
    runs: list[str] = []
    while True:
        step = advance()
        if step.is_over:
            return RoundsEnd(step, runs, 0)
        handed = hand_runs(
            experiment,
            choose or _make_chooser(experiment, step),
            executor=executor,
            jobs=jobs,
            quiet=as_json,
            resources=resources,
        )
        runs += handed.run_names
        if not as_json and (handed.run_names or handed.submissions):
            report(experiment, handed, executor=executor, as_json=False, details={})
        if is_detached or not handed.is_done or not (handed.run_names or choose):
            code = 0 if is_detached else FAILED_EXIT_CODE
            return RoundsEnd(step, runs, code if handed.is_done else INTERRUPTED_EXIT_CODE)
        choose = None


def _make_chooser(experiment: ExperimentDir, step: Round) -> Callable[[], list[str]]:
    """Chooses the runs that nobody has tried, or works on."""
    from hpcexp.launch.resume import Choice, make_chooser
    from hpcexp.store.status import State

    untried = [n for n, status in step.waiting.items() if status.state == State.PENDING]
    return make_chooser(experiment, Choice(untried, (State.PENDING,))) if untried else list
