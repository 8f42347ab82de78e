"""Where the values of one group lie: estimates, each with an interval and its level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hpcexp.analysis.statistics.values import Values, as_values

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An interval, and the level that it has: the least chance that it holds what is sought."""

    low: float
    high: float
    level: float


def median_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Between two order statistics: exact whatever the distribution, (runs,) values.

    The narrowest symmetric pair whose level is at least `confidence`; of five runs or fewer
    none has 95 %, and the whole range is given with the level that it has, 1 - 2^(1-n).
    An end may be infinite: it falls on a diverged run. None for fewer than two runs.
    Source: Thompson 1936, On confidence ranges for the median.
    """
    ordered = np.sort(as_values(values))
    n = len(ordered)
    if n < 2:
        return None
    rank = find_median_rank(n, confidence=confidence)
    return Interval(float(ordered[rank - 1]), float(ordered[n - rank]), level=median_level(n, rank))


def find_median_rank(n: int, *, confidence: float = CONFIDENCE) -> int:
    """The largest rank, from 1, that bounds the median with this confidence; at least 1."""
    rank = 1
    while rank + 1 <= n // 2 and median_level(n, rank + 1) >= confidence:
        rank += 1
    return rank


def median_level(n: int, rank: int) -> float:
    """The chance that the median lies between the values of `rank` from below and from above."""
    below = sum(math.comb(n, k) for k in range(rank))
    return 1 - below / (1 << (n - 1))  # whole numbers, however large


def mean_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Student's interval of the mean; None for fewer than two runs, or with a diverged one.

    Nearly exact for one hump without heavy tails; of two humps neither it nor the mean says
    where any run lies.
    """
    array = as_values(values)
    n = len(array)
    if n < 2 or np.isinf(array).any():
        return None
    from scipy.special import stdtrit

    mean, deviation = float(array.mean()), float(array.std(ddof=1))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * deviation / math.sqrt(n)
    return Interval(mean - half, mean + half, confidence)


def interquartile_mean(values: ArrayLike) -> float:
    """The mean of the middle half of the values; of runs on its edges the fitting fraction.

    NaN without values; infinite where a diverged run is in the middle half.
    Source: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical
    precipice, which trims whole runs.
    """
    ordered = np.sort(as_values(values))
    n = len(ordered)
    if n == 0:
        return math.nan
    edges = np.arange(n + 1)
    inside = np.clip(np.minimum(edges[1:], 0.75 * n) - np.maximum(edges[:-1], 0.25 * n), 0, None)
    kept = inside > 0
    return float((ordered[kept] * inside[kept]).sum() / inside.sum())


def take_median(values: Values) -> float:
    """The median; infinite beside a diverged run, NaN without values."""
    ordered = np.sort(values)
    n = len(ordered)
    if n == 0:
        return math.nan
    low, high = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    return low if low == high else (low + high) / 2
