"""Which recorded columns are losses, and what they are called in figures."""

from __future__ import annotations

from collections.abc import Iterable

TOTAL_LOSS = "loss"
_TERM_PREFIX = "loss."


def is_loss(name: str) -> bool:
    """Whether a column is the total loss or one of its terms."""
    return name == TOTAL_LOSS or name.startswith(_TERM_PREFIX)


def describe_loss(name: str, *, columns: Iterable[object]) -> str:
    """`loss, weighted sum of its terms`, or `loss term predict.image, unweighted`.

    `columns` are all that was recorded: a training that reports no terms has just a `loss`.
    """
    if name == TOTAL_LOSS:
        has_terms = any(str(column).startswith(_TERM_PREFIX) for column in columns)
        return "loss, weighted sum of its terms" if has_terms else "loss"
    return f"loss term {name.removeprefix(_TERM_PREFIX)}, unweighted"
