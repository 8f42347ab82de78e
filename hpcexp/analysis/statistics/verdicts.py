"""One comparison in one word."""

from __future__ import annotations

from enum import StrEnum

from hpcexp.analysis.statistics.effects import is_within
from hpcexp.analysis.statistics.intervals import Interval
from hpcexp.analysis.statistics.reach import LEVEL


class Verdict(StrEnum):
    """What the runs say of two groups."""

    SUPPORTED = "supported"
    SUGGESTIVE = "suggestive"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


def judge(*, p: float, adjusted_p: float, shift: Interval | None, margin: float | None) -> Verdict:
    """The first that holds of four.

    Supported: p, adjusted for the family, is at most 5 %. Suggestive: only the raw p is.
    Equivalent: a margin is given, and the 90 % interval of the shift lies inside it (two
    one-sided tests at 5 %). Else inconclusive: neither a difference nor its absence is shown.
    """
    if adjusted_p <= LEVEL:
        return Verdict.SUPPORTED
    if p <= LEVEL:
        return Verdict.SUGGESTIVE
    if margin is not None and is_within(shift, margin):
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE
