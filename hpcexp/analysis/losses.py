"""Which recorded columns are losses, and what they are called in figures."""

from __future__ import annotations

TOTAL_LOSS = "loss"
_TERM_PREFIX = "loss."


def is_loss(name: str) -> bool:
    """Whether a column is the total loss or one of its terms."""
    return name == TOTAL_LOSS or name.startswith(_TERM_PREFIX)


def describe_loss(name: str) -> str:
    """`loss, weighted sum of its terms`, or `loss term predict.image, unweighted`."""
    if name == TOTAL_LOSS:
        return "loss, weighted sum of its terms"
    return f"loss term {name.removeprefix(_TERM_PREFIX)}, unweighted"
