"""Success rates: one with its interval, two compared."""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_MAX_TABLES = 20_000


def wilson_interval(
    num_successes: int, num_trials: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The score interval of a binomial proportion: good for few trials, and within [0, 1].

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    Raises ValueError where there are no trials.
    """
    if not 0 <= num_successes <= num_trials or num_trials == 0:
        raise ValueError(f"{num_successes} successes of {num_trials} trials")
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    rate, n = num_successes / num_trials, num_trials
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # Exact at both ends, where rounding would leave something like 1e-17.
    low = 0.0 if num_successes == 0 else centre - half
    return low, 1.0 if num_successes == n else centre + half


def fisher_exact(successes: tuple[int, int], trials: tuple[int, int]) -> float:
    """Fisher's two-sided p for two success rates: over tables no likelier than this one.

    Holds both margins fixed, which makes it cautious with few runs.
    Source: Fisher 1934, Statistical methods for research workers, 5th edition.
    """
    _require_rates(successes, trials)
    return _list_fisher(sum(successes), *trials)[successes[0]]


def _list_fisher(total: int, m: int, n: int) -> dict[int, float]:
    """p of every table with this many successes in all, by those of the first group."""
    counts = range(max(0, total - n), min(total, m) + 1)
    ways = [math.comb(m, k) * math.comb(n, total - k) for k in counts]
    ordered = sorted(ways)
    sums = list(itertools.accumulate(ordered))
    return {
        k: sums[bisect.bisect_right(ordered, way) - 1] / sums[-1]
        for k, way in zip(counts, ways, strict=True)
    }


def boschloo_exact(successes: tuple[int, int], trials: tuple[int, int]) -> float:
    """Boschloo's two-sided p for two success rates: never above Fisher's, and still exact.

    The chance of a table whose Fisher p is as small, at the common rate at which it is largest
    (of 199 rates). 1 where all runs of both groups succeeded or none did: no rate can be told
    from another. Fisher's p where there are more than 20,000 tables.
    Source: Boschloo 1970, Raised conditional level of significance for the 2 x 2-table.
    """
    _require_rates(successes, trials)
    if sum(successes) in (0, sum(trials)):
        return 1.0
    if (trials[0] + 1) * (trials[1] + 1) > _MAX_TABLES:
        return fisher_exact(successes, trials)
    return float(_list_boschloo(*trials)[successes])


@functools.lru_cache(maxsize=64)
def _list_boschloo(m: int, n: int) -> NDArray[np.float64]:
    """p of every table, (m + 1, n + 1)."""
    rates = np.arange(1, 200) / 200
    fisher = np.empty((m + 1, n + 1))
    for total in range(m + n + 1):
        for k, p_value in _list_fisher(total, m, n).items():
            fisher[k, total - k] = p_value
    chances = _binomial(m, rates)[:, None, :] * _binomial(n, rates)[None, :, :]
    flat = fisher.ravel()
    order = np.argsort(flat, kind="stable")
    cumulated = np.cumsum(chances.reshape(len(flat), -1)[order], axis=0).max(axis=1)
    # Tables of equal Fisher p, but for rounding, come together.
    last = np.searchsorted(flat[order], flat * (1 + 1e-9), side="right") - 1
    p: NDArray[np.float64] = np.minimum(1.0, cumulated[last]).reshape(m + 1, n + 1)
    return p


def _binomial(n: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.arange(n + 1)[:, None]
    ways = np.array([float(math.comb(n, k)) for k in range(n + 1)])[:, None]
    return np.asarray(ways * rates**counts * (1 - rates) ** (n - counts), np.float64)


def _require_rates(successes: tuple[int, int], trials: tuple[int, int]) -> None:
    pairs = list(zip(successes, trials, strict=True))
    if not all(0 <= k <= n and n > 0 for k, n in pairs):
        raise ValueError(" and ".join(f"{k} successes of {n} trials" for k, n in pairs))
