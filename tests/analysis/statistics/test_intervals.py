from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpcexp.analysis.statistics.intervals import (
    find_median_rank,
    interquartile_mean,
    mean_interval,
    median_interval,
    median_level,
    take_median,
)
from tests.analysis.statistics.strategies import samples


@given(st.integers(2, 60))
def test_the_median_interval_is_the_narrowest_that_has_its_level(n: int) -> None:
    rank = find_median_rank(n)
    assert median_level(n, rank) >= 0.95 or rank == 1
    assert rank == n // 2 or median_level(n, rank + 1) < 0.95


@pytest.mark.parametrize(
    ("n", "percent"), [(2, 50), (3, 75), (4, 87.5), (5, 93.75), (6, 96.875), (8, 99.21875)]
)
def test_few_runs_have_the_level_that_there_is(n: int, percent: float) -> None:
    interval = median_interval(np.arange(n))
    assert interval is not None
    assert (interval.low, interval.high) == (0, n - 1)
    assert 100 * interval.level == percent


@given(st.integers(2, 40), st.integers(1, 20))
def test_the_level_is_that_of_the_binomial_distribution(n: int, rank: int) -> None:
    rank = min(rank, n // 2)
    inside = stats.binom.cdf(n - rank, n, 0.5) - stats.binom.cdf(rank - 1, n, 0.5)
    assert median_level(n, rank) == pytest.approx(inside)


def test_twelve_runs_leave_out_two_at_each_end() -> None:
    interval = median_interval(np.arange(12))
    assert interval is not None
    assert (interval.low, interval.high) == (2, 9)
    assert interval.level == pytest.approx(0.9614, abs=1e-4)


def test_an_end_on_a_diverged_run_is_infinite() -> None:
    interval = median_interval([0.1, 0.2, 0.3, 0.4, 0.5, math.inf])
    assert interval is not None
    assert interval.high == math.inf


def test_one_run_has_no_interval() -> None:
    assert median_interval([0.3]) is None
    assert mean_interval([0.3]) is None


def test_the_mean_has_students_interval() -> None:
    values = [0.1, 0.4, 0.2, 0.35]
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert mean_interval([*values, math.inf]) is None


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1, 2, 3, 4], 2.5),
        ([0, 10, 20, 30, 40, 50, 60, 70], 35),
        ([1, 2, 3], (0.25 * 1 + 2 + 0.25 * 3) / 1.5),
        ([1, 2, 3, 4, 5, 1000], (0.5 * 2 + 3 + 4 + 0.5 * 5) / 3),
        ([7], 7),
        ([1, 2, 3, math.inf], 2.5),
        ([1, 2, math.inf, math.inf], math.inf),
    ],
)
def test_the_interquartile_mean_takes_fractions_of_runs(values: list[float], mean: float) -> None:
    assert interquartile_mean(values) == pytest.approx(mean)


@given(samples(1, 15))
def test_medians_lie_in_their_intervals(values: list[float]) -> None:
    median, interval = take_median(np.array(values)), median_interval(values)
    assert interval is None or interval.low <= median <= interval.high
