"""Going on with a run whose budget has grown, as if it had been that long from the start.

Where a budget ends is also where an epoch is cut short, or evaluated out of turn: rows, the
best parameters and the memory of stop rules then hold something that a longer run would not
have there. The last checkpoint of such a run therefore also keeps what was before its end.
"""

from __future__ import annotations

from typing import Any

from hpcexp.train.sink import Checkpoint

BEFORE_END = "before_end"


def undo_end(checkpoint: Checkpoint, *, num_steps: int) -> tuple[Checkpoint, int]:
    """The checkpoint to go on from to `num_steps`, and the step up to which its rows count.

    Rows of the last step are made again where the end had a part in them.
    """
    step: int = checkpoint["step"]
    if BEFORE_END not in checkpoint or step >= num_steps:
        return checkpoint, step
    undone = {name: value for name, value in checkpoint.items() if name != BEFORE_END}
    undone |= checkpoint[BEFORE_END]
    if "recovery" in undone:
        undone["recovery"] = _drop_point(undone["recovery"], step=step)
    return undone, step - 1


def _drop_point(recovery: dict[str, Any], *, step: int) -> dict[str, Any]:
    """A state to go back to that was kept at the end; it is kept again from what it should be."""
    point = recovery["point"]
    return {**recovery, "point": None} if point and point["step"] == step else recovery
