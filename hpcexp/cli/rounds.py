"""What commands share that train in rounds: progress, and what became of each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hpcexp.cli.outcome import FAILED_EXIT_CODE, INTERRUPTED_EXIT_CODE
from hpcexp.cli.training import hand_runs, report

if TYPE_CHECKING:
    from hpcexp.launch.rounds import Choose, RoundsEnd, RoundT
    from hpcexp.launch.submit import Handed
    from hpcexp.store.layout import ExperimentDir


def train_in_rounds(
    experiment: ExperimentDir,
    advance: Callable[[], RoundT],
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    choose: Choose | None,
    resources: Mapping[str, Any] | None,
) -> RoundsEnd[RoundT]:
    """Train in rounds, and say after each what became of it."""
    from hpcexp.launch.rounds import train_in_rounds as go_round

    def hand(chosen: Choose) -> Handed:
        handed = hand_runs(
            experiment, chosen, executor=executor, jobs=jobs, quiet=as_json, resources=resources
        )
        if not as_json and (handed.run_names or handed.submissions):
            report(experiment, handed, executor=executor, as_json=False, details={})
        return handed

    return go_round(experiment, advance, hand, executor=executor, choose=choose)


def find_rounds_code(end: RoundsEnd[Any]) -> int:
    """The command's exit code."""
    if end.was_interrupted:
        return INTERRUPTED_EXIT_CODE
    return FAILED_EXIT_CODE if end.is_stuck else 0
