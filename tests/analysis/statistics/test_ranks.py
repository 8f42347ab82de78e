from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from hpcexp.analysis.statistics.ranks import mann_whitney
from hpcexp.analysis.statistics.reach import smallest_p
from tests.analysis.notebook import read_values
from tests.analysis.statistics.strategies import samples


def enumerate_p(a: list[float], b: list[float]) -> float:
    """Every way to deal out the labels, with midranks from SciPy."""
    ranks = stats.rankdata([*a, *b])
    mean = len(a) * (len(ranks) + 1) / 2
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(a))]
    observed = abs(sum(ranks[: len(a)]) - mean)
    return sum(bool(abs(s - mean) >= observed - 1e-9) for s in sums) / len(sums)


@given(samples(1, 6), samples(1, 6))
def test_p_is_that_of_enumerating_all_labellings(a: list[float], b: list[float]) -> None:
    assert mann_whitney(a, b).p == pytest.approx(enumerate_p(a, b), abs=1e-12)


@given(samples(1, 8), samples(1, 8))
def test_the_order_of_the_groups_does_not_matter(a: list[float], b: list[float]) -> None:
    one, other = mann_whitney(a, b), mann_whitney(b, a)
    assert one.p == pytest.approx(other.p, abs=1e-12)
    assert one.statistic + other.statistic == len(a) * len(b)


@given(samples(2, 8), samples(2, 8))
def test_only_the_order_of_values_matters(a: list[float], b: list[float]) -> None:
    squeezed = [[x if math.isinf(x) else math.log(x) for x in sample] for sample in (a, b)]
    assert mann_whitney(*squeezed) == mann_whitney(a, b)


@pytest.mark.parametrize("sizes", [(4, 4), (6, 6), (8, 12), (30, 30)])
def test_without_ties_it_is_the_exact_method_of_scipy(sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(sizes[0])
    a, b = random.normal(size=sizes[0]), random.normal(0.5, size=sizes[1])
    result, expected = mann_whitney(a, b), stats.mannwhitneyu(a, b, method="exact")
    assert result.is_exact
    assert result.statistic == expected.statistic
    assert result.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_thirty_against_thirty_with_ties_are_still_counted() -> None:
    values = np.random.default_rng(0).integers(0, 9, 60)
    assert mann_whitney(values[:30], values[30:]).is_exact


def test_many_runs_are_approximated_with_corrections_for_ties_and_continuity() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(0, 50, 300), random.integers(2, 52, 280)
    result = mann_whitney(a, b)
    expected = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True)
    assert not result.is_exact
    assert result.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_diverged_runs_tie_as_the_worst() -> None:
    inf = math.inf
    assert mann_whitney([0.1, 0.2, inf], [0.3, inf, inf]) == mann_whitney([1, 2, 9], [3, 9, 9])


def test_values_that_are_all_equal_tell_nothing() -> None:
    assert mann_whitney([1.0] * 5, [1.0] * 7).p == 1.0


@pytest.mark.parametrize(
    ("experiment", "p"),
    [
        ("xj_neg_residual", 0.000622),
        ("xj_rnn_width", 0.049883),
        ("xj_k", 0.2345),
        ("xj_sched_samp", 0.5737),
        ("18@01_37_34_max_epoch", 0.0684),
    ],
)
def test_the_notebooks_comparisons_have_their_known_p(experiment: str, p: float) -> None:
    digits = len(str(p).split(".")[1])
    assert round(mann_whitney(*read_values(experiment)).p, digits) == p


def test_the_smallest_p_is_that_of_groups_apart() -> None:
    assert smallest_p(4, 4) == pytest.approx(0.0286, abs=5e-5)
    for m, n in [(2, 3), (4, 4), (6, 5)]:
        apart = mann_whitney(np.arange(m), 100 + np.arange(n))
        assert apart.p == pytest.approx(smallest_p(m, n))


@pytest.mark.parametrize("bad", [[], [math.nan], [-math.inf], [[1.0, 2.0]]])
def test_what_is_no_outcome_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"nothing to compare|NaN|dimensions"):
        mann_whitney([1.0, 2.0], bad)
