"""How many runs would decide: the sample size for 80 % power, and how unsure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcexp.analysis.statistics.ranks import smallest_p
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
    scores = _score(first, second)
    weights = [
        generator.multinomial(len(s), np.full(len(s), 1 / len(s)), size=_NUM_RESAMPLES) / len(s)
        for s in (first, second)
    ]
    sizes = _list_sizes(find_smallest_size(alpha))
    powers = _compute_powers(
        scores, weights[0], weights[1], sizes, alpha, _count_ties(first, second)
    )
    reached = powers >= POWER
    needed = np.where(reached.any(axis=1), sizes[np.argmax(reached, axis=1)], MAX_RUNS + 1)
    low, median, high = np.quantile(needed, [0.1, 0.5, 0.9], method="inverted_cdf")
    return SampleSizes(_cap(low), _cap(median), _cap(high))


def compute_power(a: ArrayLike, b: ArrayLike, *, num_runs: int, alpha: float) -> float:
    """The power with `num_runs` per group if the values, (runs,) each, were all there are."""
    first, second = as_values(a), as_values(b)
    weights = [np.full((1, len(s)), 1 / len(s)) for s in (first, second)]
    if num_runs < find_smallest_size(alpha):
        return 0.0
    sizes = np.array([num_runs])
    ties = _count_ties(first, second)
    scores = _score(first, second)
    return float(_compute_powers(scores, weights[0], weights[1], sizes, alpha, ties)[0, 0])


def find_smallest_size(alpha: float) -> int:
    """The fewest runs per group with which Mann-Whitney can reach `alpha` at all."""
    size = 2
    while smallest_p(size, size) > alpha:
        size += 1
    return size


def _list_sizes(smallest: int) -> NDArray[np.int64]:
    """Every size at first, then in steps of 4 %: nobody plans more finely."""
    steps = np.geomspace(smallest, MAX_RUNS, 1 + math.ceil(math.log(MAX_RUNS / smallest) / 0.04))
    return np.unique(np.ceil(steps - 1e-9).astype(np.int64))


def _compute_powers(
    scores: Values, wa: Values, wb: Values, sizes: NDArray[np.int64], alpha: float, ties: float
) -> Values:
    """Power, (resamples, sizes), from weights of the observed values, (resamples, runs) each."""
    of_a, of_b = wb @ scores.T, wa @ scores  # the mean score of each value against the other group
    share = (wa * of_a).sum(axis=1)
    var_a = (wa * (of_a - share[:, None]) ** 2).sum(axis=1)
    var_b = (wb * (of_b - share[:, None]) ** 2).sum(axis=1)
    var_pair = np.einsum("ri,ij,rj->r", wa, scores**2, wb) - share**2
    n = sizes.astype(float)[None, :]
    variance = n**2 * (var_pair[:, None] + (n - 1) * (var_a + var_b)[:, None])
    null = np.sqrt(n**2 * (2 * n + 1) / 12 * (1 - ties))
    critical = NormalDist().inv_cdf(1 - alpha / 2) * null
    distance = n**2 * np.abs(share[:, None] - 0.5) - 0.5 - critical
    from scipy.special import ndtr

    deviation = np.sqrt(np.maximum(variance, 1e-12))
    return np.asarray(ndtr(distance / deviation), np.float64)


def _score(a: Values, b: Values) -> Values:
    return np.asarray((a[:, None] < b[None, :]) + 0.5 * (a[:, None] == b[None, :]), np.float64)


def _count_ties(a: Values, b: Values) -> float:
    """What ties take from the null variance of U, as a share."""
    counts = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(float)
    n = float(len(a) + len(b))
    return float((counts**3 - counts).sum() / (n**3 - n)) if n > 1 else 0.0


def _cap(number: float) -> int | None:
    return None if number > MAX_RUNS or math.isnan(number) else int(number)
