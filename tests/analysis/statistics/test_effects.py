from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hpcexp.analysis.statistics.effects import (
    hodges_lehmann,
    is_within,
    probability_of_improvement,
)
from hpcexp.analysis.statistics.intervals import Interval
from hpcexp.analysis.statistics.ranks import mann_whitney
from tests.analysis.statistics.strategies import samples

Z = 1.959963984540054


@given(samples(1, 9), samples(1, 9))
def test_the_chance_of_improvement_counts_pairs(a: list[float], b: list[float]) -> None:
    found = probability_of_improvement(a, b).value
    pairs = [1.0 if x < y else 0.5 if x == y else 0.0 for x in a for y in b]
    assert found == pytest.approx(np.mean(pairs))
    assert found == pytest.approx(1 - mann_whitney(a, b).statistic / len(pairs))


@given(samples(2, 9), samples(2, 9))
def test_newcombes_limits_solve_his_equation(a: list[float], b: list[float]) -> None:
    found = probability_of_improvement(a, b)
    assert found.interval is not None
    m, n = len(a), len(b)
    for theta in (found.interval.low, found.interval.high):
        assert 0 <= theta <= 1
        if theta in (0.0, 1.0):
            continue
        half = (m + n) / 2 - 1
        spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) / (m * n) * spread
        assert abs(found.value - theta) == pytest.approx(Z * math.sqrt(variance), abs=1e-6)


def test_exchanging_the_groups_mirrors_the_chance() -> None:
    one = probability_of_improvement([1, 2, 5], [3, 4, 6, 7])
    other = probability_of_improvement([3, 4, 6, 7], [1, 2, 5])
    assert one.interval is not None
    assert other.interval is not None
    assert one.value == pytest.approx(1 - other.value)
    assert one.interval.low == pytest.approx(1 - other.interval.high)


FEW = st.lists(st.integers(0, 10_000), min_size=4, max_size=7, unique=True)


@given(FEW, FEW)
def test_the_shifts_in_the_interval_are_those_that_the_test_does_not_reject(
    a: list[int], b: list[int]
) -> None:
    differences = [y - x for x in a for y in b]
    assume(len(set(differences)) == len(differences))  # else a shifted group has ties
    found = hodges_lehmann(a, b)
    assert found.interval is not None
    tail = 1 - found.interval.level
    inside = mann_whitney(np.array(a) + found.interval.low + 0.25, b).p
    outside = mann_whitney(np.array(a) + found.interval.low - 0.25, b).p
    assert inside > tail - 1e-12
    assert outside <= tail + 1e-12
    assert found.interval.level >= 0.9 - 1e-12


def test_three_against_three_have_an_interval_and_two_against_two_have_none() -> None:
    three = hodges_lehmann([1, 2, 3], [11, 12, 13]).interval
    assert three is not None
    assert three.level == pytest.approx(0.9)
    assert hodges_lehmann([1, 2], [11, 12]).interval is None


def test_a_shift_to_diverged_runs_is_infinite_and_between_them_none() -> None:
    found = hodges_lehmann([0.1] * 4, [math.inf] * 4)
    assert found.value == math.inf
    assert hodges_lehmann([math.inf] * 4, [math.inf] * 4).value == 0


def test_an_interval_is_within_a_margin_only_as_a_whole() -> None:
    assert is_within(Interval(-0.01, 0.04, 0.9), 0.05)
    assert not is_within(Interval(-0.01, 0.05, 0.9), 0.05)
    assert not is_within(None, 0.05)
