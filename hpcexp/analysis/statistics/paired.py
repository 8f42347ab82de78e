"""Tests of pairs of runs that began with the same random initialisation.

An initialisation may be lucky in both groups; the difference within a pair is free of that.
These describe beside Mann-Whitney, which alone decides.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from hpcexp.analysis.statistics.ranks import RankTest, find_tail
from hpcexp.analysis.statistics.values import Values, as_values, double_midranks, subtract

_MAX_EXACT = 150


def signed_rank(a: ArrayLike, b: ArrayLike) -> RankTest:
    """Wilcoxon's signed-rank test of pairs, (pairs,) each; exact with midranks to 150 pairs.

    Pairs without a difference are left out, two diverged runs among them; a difference to a
    diverged run has the largest rank. The statistic is the sum of the ranks of pairs in which
    `a` is larger. p is 1 where no pair differs.
    Raises ValueError where the numbers of runs differ.
    Source: Wilcoxon 1945; Streitberg & Röhmel 1986.
    """
    difference = _subtract_pairs(a, b)
    doubled = double_midranks(np.abs(difference))
    statistic = float(doubled[difference > 0].sum()) / 2
    if not len(difference):
        return RankTest(0.0, 1.0, is_exact=True)
    mean = float(doubled.sum()) / 2
    distance = abs(2 * statistic - mean)
    if len(doubled) <= _MAX_EXACT:
        counts = np.zeros(int(doubled.sum()) + 1)
        counts[0] = 1
        for rank in doubled:
            counts[rank:] += counts[: len(counts) - rank]
        return RankTest(statistic, find_tail(counts, mean=mean, distance=distance), is_exact=True)
    z = max(0.0, distance - 1) / math.sqrt(float((doubled.astype(float) ** 2).sum()) / 4)
    return RankTest(statistic, min(1.0, math.erfc(z / math.sqrt(2))), is_exact=False)


def sign_test(a: ArrayLike, b: ArrayLike) -> RankTest:
    """Of the pairs that differ, in how many `a` is larger: a fair coin if nothing differs.

    Exact. Raises ValueError where the numbers of runs differ.
    """
    difference = _subtract_pairs(a, b)
    larger, n = int((difference > 0).sum()), len(difference)
    fewer = min(larger, n - larger)
    below = sum(math.comb(n, k) for k in range(fewer + 1))
    return RankTest(larger, min(1.0, 2 * below / 2**n), is_exact=True)


def _subtract_pairs(a: ArrayLike, b: ArrayLike) -> Values:
    first, second = as_values(a), as_values(b)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} runs are no pairs")
    difference = subtract(first, second)
    return np.asarray(difference[difference != 0], np.float64)
