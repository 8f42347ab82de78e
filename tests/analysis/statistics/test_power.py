from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpcexp.analysis.statistics.power import (
    MAX_RUNS,
    compute_power,
    find_sample_sizes,
)
from hpcexp.analysis.statistics.reach import find_smallest_size
from tests.analysis.notebook import read_values


def test_the_power_is_that_of_simulating_the_test() -> None:
    random = np.random.default_rng(0)
    a, b = read_values("18@01_37_34_max_epoch")
    drawn = [random.choice(sample, size=(2000, 30)) for sample in (a, b)]
    p = stats.mannwhitneyu(*drawn, axis=1, method="asymptotic").pvalue
    power = compute_power(a, b, num_runs=30, alpha=0.05)
    assert power == pytest.approx((p <= 0.05).mean(), abs=0.03)


def test_a_shift_of_one_deviation_needs_about_eighteen() -> None:
    """17 for a t-test of normal values; ranks need 3 / pi times fewer or more."""
    grid = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    powers = {n: compute_power(grid, grid + 1, num_runs=n, alpha=0.05) for n in (14, 18, 22)}
    assert powers[14] < powers[18] < powers[22]
    assert powers[18] == pytest.approx(0.8, abs=0.03)


def test_the_range_says_how_little_twelve_runs_know() -> None:
    a, b = read_values("18@01_37_34_max_epoch")
    found = find_sample_sizes(a, b, alpha=0.05, generator=np.random.default_rng(0))
    assert found.low is not None
    assert found.median is not None
    assert found.high is not None
    assert 5 <= found.low <= 20 <= found.median <= 40 <= found.high <= 400
    assert found == find_sample_sizes(a, b, alpha=0.05, generator=np.random.default_rng(0))


def test_groups_alike_may_need_more_than_anyone_trains() -> None:
    same = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    found = find_sample_sizes(same, same, alpha=0.05, generator=np.random.default_rng(0))
    assert found.high is None
    assert find_sample_sizes([0.1] * 5, [0.1] * 5, alpha=0.05, generator=np.random.default_rng(0)
    ).low is None  # fmt: skip


@pytest.mark.parametrize(("alpha", "size"), [(0.05, 4), (0.05 / 6, 5), (0.001, 7)])
def test_fewer_runs_than_can_ever_be_significant_are_not_proposed(alpha: float, size: int) -> None:
    assert find_smallest_size(alpha) == size
    found = find_sample_sizes(
        [1, 2, 3], [11, 12, 13], alpha=alpha, generator=np.random.default_rng(0)
    )
    assert found.low is not None
    assert size <= found.low <= size + 2
    assert MAX_RUNS >= 1000
