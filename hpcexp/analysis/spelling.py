"""Numbers and lists as people write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpcexp.analysis.statistics.reach import LEVEL

DIVERGED = "diverged"


def spell_number(value: float) -> str:
    """Two decimals where they say something, else two significant digits."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return DIVERGED
    return f"{value:.2f}" if 0.1 <= abs(value) < 1000 or value == 0 else f"{value:.2g}"


def spell_percent(share: float) -> str:
    """`97 %`, and a decimal where it is not whole: `96.9 %`."""
    return (
        f"{100 * share:.0f} %"
        if abs(round(100 * share) - 100 * share) < 0.05
        else f"{100 * share:.1f} %"
    )


def spell_p(p: float) -> str:
    """Two significant digits; more where fewer would hide on which side of 0.05 it lies."""
    if p < 1e-4:
        return "< 0.0001"
    digits = 2
    while p != LEVEL and float(f"{p:.{digits}g}") == LEVEL and digits < 4:
        digits += 1
    return f"{p:.{digits}g}" if p < 0.995 else "1"


def join_words(words: Sequence[str]) -> str:
    """`16`, `16 and 32`, `16, 32 and 64`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def spell_hours(hours: float) -> str:
    """`12`, `1.3`, `0.02`, `0`."""
    if 0 < hours < 1e-4:
        return "< 0.0001"
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"
