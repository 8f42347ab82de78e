from __future__ import annotations

import pytest

from hpcexp.analysis.statistics.intervals import Interval
from hpcexp.analysis.statistics.verdicts import Verdict, judge

NARROW, WIDE = Interval(-0.01, 0.02, 0.9), Interval(-0.2, 0.3, 0.9)


@pytest.mark.parametrize(
    ("p", "adjusted", "shift", "margin", "verdict"),
    [
        (0.01, 0.05, WIDE, None, Verdict.SUPPORTED),
        (0.01, 0.05, NARROW, 0.05, Verdict.SUPPORTED),
        (0.05, 0.0501, WIDE, None, Verdict.SUGGESTIVE),
        (0.0501, 0.0501, NARROW, 0.05, Verdict.EQUIVALENT),
        (0.5, 1.0, NARROW, None, Verdict.INCONCLUSIVE),
        (0.5, 1.0, WIDE, 0.05, Verdict.INCONCLUSIVE),
        (0.5, 1.0, None, 0.05, Verdict.INCONCLUSIVE),
    ],
)
def test_the_first_word_that_holds_is_the_verdict(
    p: float, adjusted: float, shift: Interval | None, margin: float | None, verdict: Verdict
) -> None:
    assert judge(p=p, adjusted_p=adjusted, shift=shift, margin=margin) is verdict
