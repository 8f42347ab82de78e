"""How many runs would decide: the sample size for 80 % power, and how unsure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcexp.analysis.statistics.reach import find_smallest_size
from hpcexp.analysis.statistics.values import Values, as_values

POWER = 0.8
MAX_RUNS = 1000
_NUM_RESAMPLES = 400


@dataclass(frozen=True)
class SampleSizes:
    """Runs per group: the 10 %, 50 % and 90 % points; None beyond MAX_RUNS."""

    low: int | None
    median: int | None
    high: int | None


def find_sample_sizes(
    a: ArrayLike, b: ArrayLike, *, alpha: float, generator: np.random.Generator
) -> SampleSizes:
    """How many runs per group Mann-Whitney at level `alpha` needs for 80 % power.

    Both groups, (runs,) values each, are resampled with replacement; of each resample, as if it
    were the truth, the number is computed. The range says what so few runs know of it: were the
    difference as observed, the median would do, but it is itself a guess.
    Source: Lehmann 1975, Nonparametrics, section 2.3 (power of the Wilcoxon test).
    """
    first, second = as_values(a), as_values(b)
    weights = [
        generator.multinomial(len(s), np.full(len(s), 1 / len(s)), size=_NUM_RESAMPLES) / len(s)
        for s in (first, second)
    ]
    spread = _measure(_score(first, second), *weights, ties=_count_ties(first, second))
    low = np.full(_NUM_RESAMPLES, find_smallest_size(alpha))
    high = np.full(_NUM_RESAMPLES, MAX_RUNS + 1)  # that many always "suffice"
    needed = NormalDist().inv_cdf(POWER)
    while (low < high).any():  # power grows with the number of runs: halve the range
        middle = (low + high) // 2
        suffices = spread.standardise(middle, alpha) >= needed
        high = np.where(suffices | (low == high), np.minimum(middle, high), high)
        low = np.where(suffices, low, np.minimum(middle + 1, high))
    chosen = np.quantile(high, [0.1, 0.5, 0.9], method="inverted_cdf")
    return SampleSizes(*(_cap(number) for number in chosen))


def compute_power(a: ArrayLike, b: ArrayLike, *, num_runs: int, alpha: float) -> float:
    """The power with `num_runs` per group if the values, (runs,) each, were all there are."""
    first, second = as_values(a), as_values(b)
    if num_runs < find_smallest_size(alpha):
        return 0.0
    weights = [np.full((1, len(s)), 1 / len(s)) for s in (first, second)]
    spread = _measure(_score(first, second), *weights, ties=_count_ties(first, second))
    return NormalDist().cdf(float(spread.standardise(np.array([num_runs]), alpha)[0]))


@dataclass(frozen=True, eq=False)
class _Spread:
    """Of each resample: how far U is from its mean without a difference, and its variances.

    `distance` is of the share of pairs from 1/2; the variance of U with n runs per group is n^2
    (of_pair + (n - 1) of_run). Ties take the share `ties` from its variance without a difference.
    """

    distance: Values
    of_pair: Values
    of_run: Values
    ties: float

    def standardise(self, sizes: NDArray[np.int64], alpha: float) -> Values:
        """By how many deviations U exceeds the critical value, with so many runs per group."""
        n = sizes.astype(float)
        null = np.sqrt((2 * n + 1) / 12 * (1 - self.ties))
        critical = NormalDist().inv_cdf(1 - alpha / 2) * null
        deviation = np.sqrt(np.maximum(self.of_pair + (n - 1) * self.of_run, 1e-12))
        return np.asarray((n * self.distance - 0.5 / n - critical) / deviation, np.float64)


def _measure(scores: Values, wa: Values, wb: Values, *, ties: float) -> _Spread:
    """From weights of the observed values, (resamples, runs) each."""
    of_a, of_b = wb @ scores.T, wa @ scores  # the mean score of each value against the other group
    share = (wa * of_a).sum(axis=1)
    var_a = (wa * of_a**2).sum(axis=1) - share**2
    var_b = (wb * of_b**2).sum(axis=1) - share**2
    of_pair = ((wa @ scores**2) * wb).sum(axis=1) - share**2
    return _Spread(np.abs(share - 0.5), of_pair, np.maximum(var_a + var_b, 0), ties)


def _score(a: Values, b: Values) -> Values:
    return np.asarray((a[:, None] < b[None, :]) + 0.5 * (a[:, None] == b[None, :]), np.float64)


def _count_ties(a: Values, b: Values) -> float:
    """What ties take from the null variance of U, as a share."""
    counts = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(float)
    n = float(len(a) + len(b))
    return float((counts**3 - counts).sum() / (n**3 - n)) if n > 1 else 0.0


def _cap(number: float) -> int | None:
    return None if number > MAX_RUNS or math.isnan(number) else int(number)
