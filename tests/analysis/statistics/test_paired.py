from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpcexp.analysis.statistics.paired import sign_test, signed_rank
from tests.analysis.statistics.strategies import OUTCOMES

PAIRS = st.lists(st.tuples(OUTCOMES, OUTCOMES), min_size=1, max_size=8)


def subtract(one: float, other: float) -> float:
    return 0.0 if one == other else one - other


def enumerate_signs(pairs: list[tuple[float, float]]) -> float:
    difference = [d for d in (subtract(a, b) for a, b in pairs) if d]
    if not difference:
        return 1.0
    ranks = stats.rankdata(np.abs(difference))
    observed = abs(sum(r for r, d in zip(ranks, difference, strict=True) if d > 0) - sum(ranks) / 2)
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product([False, True], repeat=len(ranks))
    ]
    far = [bool(abs(s - sum(ranks) / 2) >= observed - 1e-9) for s in sums]
    return sum(far) / len(sums)


@given(PAIRS)
def test_signed_rank_is_that_of_enumerating_all_signs(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    assert signed_rank(a, b).p == pytest.approx(enumerate_signs(pairs), abs=1e-12)


@given(PAIRS)
def test_exchanging_the_groups_changes_no_p(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    assert signed_rank(a, b).p == pytest.approx(signed_rank(b, a).p, abs=1e-12)
    assert sign_test(a, b).p == sign_test(b, a).p


def test_many_pairs_without_ties_agree_with_scipy() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 200))
    expected = stats.wilcoxon(a, b, method="asymptotic", correction=True).pvalue
    result = signed_rank(a, b)
    assert not result.is_exact
    assert result.p == pytest.approx(expected, rel=1e-6)


def test_the_sign_test_is_a_coin() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 11))
    wins = int((a > b).sum())
    assert sign_test(a, b).p == pytest.approx(stats.binomtest(wins, 11).pvalue)


def test_a_difference_to_a_diverged_run_has_the_largest_rank() -> None:
    assert signed_rank([0.1, 0.2, 0.5], [0.3, math.inf, 0.4]).statistic == 1
    assert signed_rank([math.inf], [math.inf]).p == 1.0


def test_groups_of_unequal_sizes_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="3 and 2 runs are no pairs"):
        signed_rank([1, 2, 3], [1, 2])
