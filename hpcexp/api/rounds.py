"""Training that goes on by what was found: looks that decide, and searches that learn."""

from __future__ import annotations

import getpass
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hpcexp.api.training import train
from hpcexp.errors import UsageError
from hpcexp.launch.deciding import (
    Step,
    advance,
    begin_deciding,
    check_deciding,
    leave_out,
    require_deciding,
)
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.rounds import train_in_rounds
from hpcexp.launch.searching import SearchStep, advance_search, take_up_search
from hpcexp.launch.standings import deciding_to_json
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir

MAX_LOOKS = 20
SPENDING = ("quadratic", "obrien_fleming", "pocock")


def begin_looks(experiment: ExperimentDir, *, dry_run: bool, **options: Any) -> dict[str, Any]:
    """Write a plan of looks, or only make it; what it says, with the level of each look.

    `options` are those of `hpcexp.analysis.looks.LookOptions`.
    """
    from hpcexp.analysis.looks import LookOptions, list_levels, make_deciding_plan

    _check_options(**options)
    made = make_deciding_plan(
        experiment,
        read_plan(experiment),
        LookOptions(**options),
        command=shlex.join(sys.argv) or "python",
        user=getpass.getuser(),
    )
    (check_deciding if dry_run else begin_deciding)(experiment, made)
    return {"experiment": str(experiment.path), **asdict(made), "levels": list_levels(made)}


def _check_options(*, max_rand_inits: int, num_looks: int, spending: str, futility: float) -> None:
    if max_rand_inits < 3:
        raise UsageError(f"max_rand_inits={max_rand_inits}: allowed is 3 and more")
    if not 2 <= num_looks <= MAX_LOOKS:
        raise UsageError(f"looks={num_looks}: allowed is 2 to {MAX_LOOKS}")
    if spending not in SPENDING:
        raise UsageError(f"no such spending: {spending}; there are {', '.join(SPENDING)}")
    if not 0 <= futility < 1:
        raise UsageError(f"futility={futility}: allowed is 0 to below 1; 0 gives no pair up")


def go_on_looking(
    experiment: ExperimentDir, *, without: Sequence[str] = (), executor: str, jobs: int | None
) -> dict[str, Any]:
    """Take the looks that are due and train what they ask for; where the plan stands then."""
    from hpcexp.analysis.looks import take_look

    EXECUTORS[executor].check(experiment.path.parent)
    if without:
        waiting = advance(experiment, take_look).waiting
        lacking = [name for name, status in waiting.items() if status.is_finished]
        leave_out(experiment, without, lacking=lacking)

    def advance_once() -> Step:
        return advance(experiment, take_look)

    end = train_in_rounds(
        experiment,
        advance_once,
        lambda choose: train(experiment, choose, executor=executor, jobs=jobs),
        executor=executor,
    )
    return deciding_to_json(require_deciding(experiment), end.last.waiting)


def go_on_searching(
    experiment: ExperimentDir, *, samples: int | None = None, executor: str, jobs: int | None
) -> SearchStep:
    """Make and train sample after sample; on a cluster a small job goes on."""
    from hpcexp.analysis.searching import require_optuna, suggest_samples

    require_optuna()
    EXECUTORS[executor].check(experiment.path.parent)
    take_up_search(experiment)
    wanted = [samples]  # asked for once

    def advance_once() -> SearchStep:
        count = wanted.pop() if wanted else None
        return advance_search(experiment, suggest_samples, count=count)

    return train_in_rounds(
        experiment,
        advance_once,
        lambda choose: train(experiment, choose, executor=executor, jobs=jobs),
        executor=executor,
    ).last
