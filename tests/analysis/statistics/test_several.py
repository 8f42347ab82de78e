from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from scipy import stats

from hpcexp.analysis.statistics.several import compare_two_axes, kruskal_wallis, spearman_trend
from tests.analysis.statistics.strategies import samples

AXES = [(a, b) for a in range(2) for b in range(3) for _ in range(6)]
FIRST, SECOND = [a for a, _ in AXES], [b for _, b in AXES]


@given(samples(1, 6), samples(1, 6), samples(1, 6))
def test_kruskal_wallis_is_that_of_scipy(a: list[float], b: list[float], c: list[float]) -> None:
    groups = [a, b, c]
    assume(len({value for group in groups for value in group}) > 1)
    finite = [[9.0 if math.isinf(v) else v for v in group] for group in groups]
    assert kruskal_wallis(groups) == pytest.approx(stats.kruskal(*finite).pvalue)


def test_equal_values_differ_nowhere() -> None:
    assert kruskal_wallis([[1, 1], [1, 1, 1]]) == 1.0


def test_the_trend_is_spearmans_with_a_p_that_the_seed_repeats() -> None:
    random = np.random.default_rng(0)
    places = np.repeat([16, 32, 64, 128], 6)
    values = np.log(places) + random.normal(size=24)
    found = spearman_trend(places, values, generator=np.random.default_rng(1))
    assert found.rho == pytest.approx(stats.spearmanr(places, values).statistic)
    assert found == spearman_trend(places, values, generator=np.random.default_rng(1))
    assert found.p < 0.01


def test_without_variation_there_is_no_trend() -> None:
    found = spearman_trend([1, 1, 2, 2], [3.0] * 4, generator=np.random.default_rng(0))
    assert math.isnan(found.rho)
    assert found.p == 1.0


def test_an_effect_of_one_axis_is_found_on_that_axis_only() -> None:
    random = np.random.default_rng(5)
    values = 3 * np.array(FIRST) + random.normal(size=36)
    found = compare_two_axes(FIRST, SECOND, values, generator=np.random.default_rng(0))
    assert found.p_first < 0.001
    assert found.p_second > 0.05
    assert found.p_interaction > 0.05


def test_two_large_effects_that_add_up_are_no_interaction() -> None:
    """Where analysis of variance of plain ranks sees one: ranks bend sums."""
    random = np.random.default_rng(1)
    p_values = [
        compare_two_axes(
            FIRST,
            SECOND,
            20 * np.array(FIRST) + 20 * np.array(SECOND) + random.normal(size=36),
            generator=np.random.default_rng(trial),
        ).p_interaction
        for trial in range(20)
    ]
    assert sum(p <= 0.05 for p in p_values) <= 4


def test_an_effect_that_turns_round_is_an_interaction() -> None:
    random = np.random.default_rng(2)
    values = 3 * (np.array(FIRST) - 0.5) * (np.array(SECOND) - 1) + random.normal(size=36)
    values[0] = math.inf
    found = compare_two_axes(FIRST, SECOND, values, generator=np.random.default_rng(0))
    assert found.p_interaction < 0.01


def test_groups_of_unequal_sizes_are_compared_within_the_other_axis() -> None:
    """The first axis lowers values; runs of its low level happen to be where the second does."""
    first = [0] * 8 + [1] * 3 + [0] * 3 + [1] * 8
    second = [0] * 11 + [1] * 11
    random = np.random.default_rng(4)
    values = -1.5 * np.array(first) + 10 * np.array(second) + random.normal(size=22)
    found = compare_two_axes(first, second, values, generator=np.random.default_rng(0))
    assert found.p_first < 0.01
    assert found.p_second < 0.01
