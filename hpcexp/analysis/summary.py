"""What the groups of an experiment came to, in numbers.

A diverged run is an outcome: a failure, and the worst of all ranks. So its value is
infinite, and a quantile that falls on it is infinite too. Leaving diverged runs out
would make the least stable group look best.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hpcexp.analysis.frames import MISSING, Results
from hpcexp.analysis.statistics.proportions import wilson_interval
from hpcexp.store.status import FINISHED, State
from hpcexp.train.metric import Metric

STATES: tuple[str, ...] = (*State, MISSING)
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Distribution:
    """Order statistics of final values; infinite where one falls on a diverged run.

    NaN where there are no values. Quartiles interpolate linearly between ranks.
    """

    n: int
    min: float
    lower_quartile: float
    median: float
    upper_quartile: float
    max: float


@dataclass(frozen=True)
class SuccessRate:
    """`num_successes` of `num_trials`, with the Wilson interval of the rate.

    All three rates are NaN where there were no trials.
    """

    num_successes: int
    num_trials: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupSummary:
    """One group: how many runs are in which state, and the metric's final values.

    `success` is None where the metric has no threshold. `untrained_median` is over all runs
    that were validated before training.
    """

    group: str
    label: str
    states: Mapping[str, int]
    final: Distribution
    success: SuccessRate | None
    untrained_median: float

    @property
    def num_planned(self) -> int:
        """Runs that were planned."""
        return sum(self.states.values())


@dataclass(frozen=True)
class Summary:
    """All groups, in the order of every table and figure."""

    metric: Metric
    groups: tuple[GroupSummary, ...]

    @property
    def states(self) -> dict[str, int]:
        """How many runs of the experiment are in each state."""
        return {state: sum(g.states[state] for g in self.groups) for state in STATES}

    @property
    def num_planned(self) -> int:
        """Runs that were planned."""
        return sum(group.num_planned for group in self.groups)

    @property
    def num_finished(self) -> int:
        """Runs that came to an end of their own: completed, stopped or diverged."""
        return sum(count for state, count in self.states.items() if state in FINISHED)

    def to_frame(self) -> pd.DataFrame:
        """One row per group: its states, order statistics, and success rate."""
        return pd.DataFrame([_flatten(group) for group in self.groups])


def summarise(results: Results, *, metric: Metric | None = None) -> Summary:
    """Summarise every group by a metric, the workload's primary one by default."""
    metric = metric or results.metric
    axis = results.group_axis
    runs_of = dict(list(results.runs.groupby("group", observed=False)))
    groups = [
        _summarise_group(name, label, runs_of[name], metric)
        for name, label in zip(axis.names, axis.labels, strict=True)
    ]
    return Summary(metric, tuple(groups))


def collect_final_values(runs: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Final values, (finished runs,); a diverged run is infinite, an unfinished one left out."""
    values: NDArray[np.float64] = runs[f"final.{metric}"].to_numpy(np.float64)
    return values[~np.isnan(values)]


def describe_distribution(values: ArrayLike) -> Distribution:
    """Order statistics of values, (runs,), of which some may be infinite but none NaN."""
    ordered = np.sort(np.asarray(values, np.float64))
    quantiles = [_take_quantile(ordered, q) for q in (0, 0.25, 0.5, 0.75, 1)]
    return Distribution(len(ordered), *quantiles)


def _take_quantile(ordered: NDArray[np.float64], q: float) -> float:
    """Linear between ranks, infinite beside an infinite one; numpy's own would be NaN."""
    if not len(ordered):
        return math.nan
    place = q * (len(ordered) - 1)
    below, above = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    if below == above or math.isinf(below):
        return below
    return below + (above - below) * (place % 1)


def measure_success(values: ArrayLike, *, below: float) -> SuccessRate:
    """How many of the values, (runs,), are below a threshold."""
    values = np.asarray(values, np.float64)
    num_successes, n = int((values < below).sum()), len(values)
    if n == 0:
        return SuccessRate(0, 0, math.nan, math.nan, math.nan)
    return SuccessRate(num_successes, n, num_successes / n, *wilson_interval(num_successes, n))


def _summarise_group(name: str, label: str, runs: pd.DataFrame, metric: Metric) -> GroupSummary:
    final = collect_final_values(runs, metric.name)
    untrained = runs[f"untrained.{metric.name}"].dropna()
    threshold = metric.success_below
    return GroupSummary(
        group=name,
        label=label,
        states={state: int((runs["state"] == state).sum()) for state in STATES},
        final=describe_distribution(final),
        success=None if threshold is None else measure_success(final, below=threshold),
        untrained_median=describe_distribution(untrained).median,
    )


def _flatten(group: GroupSummary) -> dict[str, object]:
    success = group.success or SuccessRate(0, 0, math.nan, math.nan, math.nan)
    return {
        "group": group.group,
        "num_planned": group.num_planned,
        **{f"num_{state}": count for state, count in group.states.items()},
        **dataclasses.asdict(group.final),
        "num_successes": success.num_successes,
        "success_rate": success.rate,
        "success_rate_low": success.low,
        "success_rate_high": success.high,
        "untrained_median": group.untrained_median,
    }
