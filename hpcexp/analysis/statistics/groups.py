"""One group in numbers: what its runs came to, and what that says of runs to come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hpcexp.analysis.statistics.intervals import (
    CONFIDENCE,
    Interval,
    interquartile_mean,
    mean_interval,
    median_interval,
    take_median,
)
from hpcexp.analysis.statistics.modality import Mode, find_modes
from hpcexp.analysis.statistics.proportions import wilson_interval
from hpcexp.analysis.statistics.values import Values, as_values


@dataclass(frozen=True)
class Rate:
    """A share of runs, and its interval; NaN and None without runs."""

    num_successes: int
    num_runs: int
    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Extremes:
    """From the best to the worst case of runs whose outcome is not known."""

    best: float
    worst: float


@dataclass(frozen=True)
class GroupEstimates:
    """One group; `n` runs have an outcome, `num_unknown` crashed or went missing.

    `mean` is None where there are several modes or a diverged run: no run lies near it.
    `median_cases` and `rate_cases` are None where no run is unknown; at their best unknown runs
    are as good as the best that was seen, NaN where none was.
    """

    n: int
    num_diverged: int
    num_unknown: int
    median: float
    median_interval: Interval | None
    mean: float | None
    mean_interval: Interval | None
    interquartile_mean: float
    success: Rate | None
    modes: tuple[Mode, ...]
    median_cases: Extremes | None
    rate_cases: Extremes | None

    @property
    def is_bimodal(self) -> bool:
        """Whether its runs are of more than one kind, several of each."""
        return sum(mode.num_runs >= 2 for mode in self.modes) > 1


def estimate_group(
    values: ArrayLike, *, success_below: float | None = None, num_unknown: int = 0
) -> GroupEstimates:
    """Everything about the outcomes of one group, (runs,) values."""
    array = as_values(values)
    modes = find_modes(array)
    num_diverged = int(np.isinf(array).sum())
    has_mean = len(array) > 0 and num_diverged == 0 and len(modes) == 1
    return GroupEstimates(
        n=len(array),
        num_diverged=num_diverged,
        num_unknown=num_unknown,
        median=take_median(array),
        median_interval=median_interval(array),
        mean=float(array.mean()) if has_mean else None,
        mean_interval=mean_interval(array) if has_mean else None,
        interquartile_mean=interquartile_mean(array),
        success=None if success_below is None else measure_rate(array, below=success_below),
        modes=modes,
        median_cases=_find_median_cases(array, num_unknown),
        rate_cases=_find_rate_cases(array, num_unknown, success_below),
    )


def measure_rate(values: Values, *, below: float) -> Rate:
    """How many of the values, (runs,), are below a threshold; a diverged run never is."""
    num_successes, n = int((values < below).sum()), len(values)
    if n == 0:
        return Rate(0, 0, math.nan, None)
    interval = Interval(*wilson_interval(num_successes, n), level=CONFIDENCE)
    return Rate(num_successes, n, num_successes / n, interval)


def _find_median_cases(values: Values, num_unknown: int) -> Extremes | None:
    if not num_unknown:
        return None
    # Nobody knows how much better than the best that was seen a run could be.
    finite = values[np.isfinite(values)]
    best = np.full(num_unknown, finite.min() if len(finite) else math.nan)
    worst = np.full(num_unknown, math.inf)
    return Extremes(*(take_median(np.concatenate([values, rest])) for rest in (best, worst)))


def _find_rate_cases(values: Values, num_unknown: int, below: float | None) -> Extremes | None:
    if not num_unknown or below is None:
        return None
    successes, n = int((values < below).sum()), len(values) + num_unknown
    return Extremes((successes + num_unknown) / n, successes / n)
