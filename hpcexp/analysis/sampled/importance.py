"""How much each axis foretells the metric, and how sure that is.

A random forest learns the ranks of the samples' medians from their axes, on a bootstrap sample
of the samples; on those that it has not seen, the values of one axis are shuffled, and what its
explained variance loses is the importance of the axis. Over the bootstrap samples this gives an
interval. Sources: Breiman 2001, Random forests; Efron & Tibshirani 1993.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.sampled.scales import Scale, make_scales
from hpcexp.analysis.sampled.table import SampleTable
from hpcexp.analysis.statistics.values import double_midranks

MIN_SAMPLES = 16
NUM_RESAMPLES = 40
_NUM_TREES, _NUM_SHUFFLES, _MIN_HELD_OUT = 30, 4, 4
_LOW, _HIGH = 5.0, 95.0  # percentiles
_NOT_THERE = -0.5  # the place of an axis that a sample does not have


@dataclass(frozen=True)
class AxisImportance:
    """The explained variance that is lost without an axis: median and 5th to 95th percentile."""

    axis: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """All axes, the most important first; `explained` is R² on samples that were held out.

    `num_samples` is what it was learnt from. `problem` says why they support no ranking; empty
    where they do.
    """

    axes: tuple[AxisImportance, ...]
    explained: tuple[float, float, float]
    num_samples: int
    problem: str


def measure_importance(table: SampleTable, *, seed: int) -> Importance | None:
    """The importance of each axis; None for fewer than 16 samples or two axes.

    Takes seconds: 40 forests. Raises nothing where the forest learns nothing: that is a result,
    and `problem` says it.
    """
    scales = make_scales(table)
    usable = np.flatnonzero(~np.isnan(table.first))
    if len(usable) < MIN_SAMPLES or len(scales) < 2:
        return None
    x = encode(table, scales)[usable]
    y = double_midranks(table.first[usable]).astype(np.float64)
    if y.std() == 0:
        return None
    explained, lost = _resample(x, (y - y.mean()) / y.std(), seed=seed)
    axes = [
        AxisImportance(scale.axis, *_summarise(lost[:, place]))
        for place, scale in enumerate(scales)
    ]
    axes.sort(key=lambda axis: -axis.value)
    spread = _summarise(explained)
    return Importance(tuple(axes), spread, len(usable), _find_problem(axes, spread))


def encode(table: SampleTable, scales: list[Scale]) -> NDArray[np.float64]:
    """The places of all samples along all axes, (samples, axes); -0.5 where an axis is not."""
    return np.array(
        [
            [scale.place(v[scale.axis]) if scale.axis in v else _NOT_THERE for scale in scales]
            for v in table.values
        ],
        np.float64,
    )


def _resample(
    x: NDArray[np.float64], y: NDArray[np.float64], *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Explained variance (resamples,), and what each axis takes of it (resamples, axes)."""
    from sklearn.ensemble import RandomForestRegressor

    generator = np.random.default_rng(seed)
    explained: list[float] = []
    lost: list[list[float]] = []
    while len(explained) < NUM_RESAMPLES:
        chosen = generator.integers(len(y), size=len(y))
        held_out = np.setdiff1d(np.arange(len(y)), chosen)
        if len(held_out) < _MIN_HELD_OUT or y[held_out].std() == 0:
            continue
        forest: Any = RandomForestRegressor(
            _NUM_TREES,
            min_samples_leaf=2,
            max_features=0.6,
            random_state=int(generator.integers(2**31)),
            n_jobs=1,
        ).fit(x[chosen], y[chosen])
        whole = _explain(forest, x[held_out], y[held_out])
        explained.append(whole)
        lost.append(
            [
                whole - _explain_without(forest, x[held_out], y[held_out], axis, generator)
                for axis in range(x.shape[1])
            ]
        )
    return np.array(explained), np.array(lost)


def _explain(forest: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(1 - ((forest.predict(x) - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _explain_without(
    forest: Any,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    axis: int,
    generator: np.random.Generator,
) -> float:
    """The mean over a few shuffles, foretold in one call."""
    shuffled = np.tile(x, (_NUM_SHUFFLES, 1, 1))
    for copy in shuffled:
        copy[:, axis] = generator.permutation(copy[:, axis])
    foretold = forest.predict(shuffled.reshape(-1, x.shape[1])).reshape(_NUM_SHUFFLES, -1)
    return float(1 - ((foretold - y) ** 2).mean(axis=0).sum() / ((y - y.mean()) ** 2).sum())


def _summarise(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, [_LOW, 50, _HIGH]).tolist()
    return middle, low, high


def _find_problem(axes: list[AxisImportance], explained: tuple[float, float, float]) -> str:
    middle, low, _ = explained
    if low <= 0:
        return (
            "no ranking is supported: on samples that it has not seen, the forest is not surely "
            f"better than their mean (R² {middle:.2f}, 5th percentile {low:.2f})"
        )
    if all(axis.low <= 0 for axis in axes):
        return "no ranking is supported: no axis is surely of any use to the forest"
    first, second = axes[0], axes[1]
    if first.low <= second.high and not math.isclose(first.value, second.value):
        return f"{first.axis} and {second.axis} cannot be told apart: their intervals overlap"
    return ""
