from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpcexp.analysis.statistics.proportions import boschloo_exact, fisher_exact, wilson_interval


@pytest.mark.parametrize(
    ("successes", "low", "high"), [(3, 0.19, 0.81), (2, 0.10, 0.70), (0, 0.0, 0.39)]
)
def test_rates_of_six_runs_have_wilsons_interval(successes: int, low: float, high: float) -> None:
    assert wilson_interval(successes, 6) == pytest.approx((low, high), abs=0.005)


@given(st.data(), st.integers(1, 12), st.integers(1, 12))
def test_fisher_is_that_of_scipy(data: st.DataObject, m: int, n: int) -> None:
    a, b = data.draw(st.integers(0, m)), data.draw(st.integers(0, n))
    expected = stats.fisher_exact([[a, b], [m - a, n - b]]).pvalue
    assert fisher_exact((a, b), (m, n)) == pytest.approx(expected)


@pytest.mark.parametrize(("m", "n"), [(6, 6), (8, 5)])
def test_boschloo_is_at_most_fisher_and_holds_its_level_at_every_rate(m: int, n: int) -> None:
    tables = [(a, b) for a in range(m + 1) for b in range(n + 1)]
    p = {table: boschloo_exact(table, (m, n)) for table in tables}
    assert all(p[t] <= fisher_exact(t, (m, n)) + 1e-9 for t in tables)
    for rate in np.random.default_rng(0).uniform(size=50):
        chance = {(a, b): stats.binom.pmf(a, m, rate) * stats.binom.pmf(b, n, rate) for a, b in p}
        for level in (0.01, 0.05, 0.2):
            assert sum(chance[t] for t in tables if p[t] <= level) <= level * 1.001


def test_boschloo_finds_what_fisher_misses() -> None:
    assert fisher_exact((5, 0), (6, 6)) == pytest.approx(0.0152, abs=1e-4)
    assert boschloo_exact((5, 0), (6, 6)) == pytest.approx(0.0063, abs=1e-3)


@pytest.mark.parametrize("count", [0, 6])
def test_two_groups_that_all_fail_or_all_succeed_cannot_be_told_apart(count: int) -> None:
    assert boschloo_exact((count, count), (6, 6)) == 1.0
    assert fisher_exact((count, count), (6, 6)) == 1.0


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="2 successes of 1 trials"):
        fisher_exact((2, 0), (1, 3))
