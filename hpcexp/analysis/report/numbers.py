"""Numbers in the data of a page: short, and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

DIGITS = 4
"""Significant digits: more than a screen shows, and half the bytes of a float."""


def shorten(value: float, digits: int = DIGITS) -> float | str | None:
    """A number with few digits; None for NaN, `inf` for what is worse than all."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded


def shorten_all(values: Iterable[float], digits: int = DIGITS) -> list[Any]:
    """The same for several."""
    return [shorten(value, digits) for value in values]
