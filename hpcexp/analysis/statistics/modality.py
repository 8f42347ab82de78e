"""Whether the runs of a group fall into more than one kind of outcome.

A group of which half succeeds and half fails has a mean near which no run lies. Such a group is
recognised, so that its mean is not reported and its kinds are.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcexp.analysis.statistics.intervals import take_median
from hpcexp.analysis.statistics.values import Values, as_values

LEVEL = 0.01
"""How often a group of one kind may be taken for one of two, and again for one of three, where
its values are normal or lognormal."""

MIN_RUNS = 6
_MIN_RUNS_OF_MODE = 2
_MIN_RUNS_FOR_THREE = 9
_NUM_SIMULATED = 10_000
_LARGEST_SIMULATED = 40  # of more runs a cut explains less: the limit is cautious


@dataclass(frozen=True)
class Mode:
    """Values that lie together: how many, their median, and from where to where."""

    num_runs: int
    median: float
    low: float
    high: float


def find_modes(values: ArrayLike) -> tuple[Mode, ...]:
    """The kinds of outcome among the values, (runs,), the best first; one kind is the rule.

    The values are split in two (nine or more also in three) where that explains most of their
    variance, and the split is believed where it explains more than 99 % of the splits of normal
    values do, on the scale given and (for positive values) on a logarithmic one: a long tail is
    no second kind. Then each part is looked at in the same way. Diverged runs are a kind of
    their own.
    Source: Engelman & Hartigan 1969, Percentage points of a test for clusters.
    """
    ordered = np.sort(as_values(values))
    finite = ordered[np.isfinite(ordered)]
    parts = _split(finite) if len(finite) else []
    if len(finite) < len(ordered):
        parts.append(ordered[len(finite) :])
    return tuple(
        Mode(len(part), take_median(part), float(part[0]), float(part[-1])) for part in parts
    )


def _split(ordered: Values) -> list[Values]:
    n = len(ordered)
    if n < MIN_RUNS:
        return [ordered]
    choices = (2, 3) if n >= _MIN_RUNS_FOR_THREE else (2,)
    for num_parts in choices:
        cuts = _find_cuts(ordered, num_parts)
        if cuts:
            return [part for piece in np.split(ordered, cuts) for part in _split(piece)]
    return [ordered]


def _find_cuts(ordered: Values, num_parts: int) -> list[int]:
    """Where the parts begin after the first; empty where one kind explains the values."""
    n = len(ordered)
    limit = _find_limit(min(n, _LARGEST_SIMULATED), num_parts)
    cuts = _list_cuts(n, num_parts)
    scales = [ordered] + ([np.log(ordered)] if ordered[0] > 0 else [])
    ratios = [_explain(scale[None, :], cuts)[0] for scale in scales]
    if any(float(ratio.max()) <= limit for ratio in ratios):
        return []
    return [int(cut) for cut in cuts[int(np.argmax(ratios[0]))]]


def _list_cuts(n: int, num_parts: int) -> NDArray[np.int64]:
    """All ways to cut n ordered values into parts that are large enough, (ways, parts - 1)."""
    places = range(_MIN_RUNS_OF_MODE, n - _MIN_RUNS_OF_MODE + 1)
    ways = itertools.combinations(places, num_parts - 1)
    large = [way for way in ways if np.diff(way).min(initial=n) >= _MIN_RUNS_OF_MODE]
    return np.array(large, np.int64)


def _explain(ordered: Values, cuts: NDArray[np.int64]) -> Values:
    """Variance between over within the parts of each cut, (samples, n) -> (samples, ways)."""
    n = ordered.shape[1]
    centred = ordered - ordered.mean(axis=1, keepdims=True)
    sums = np.concatenate([np.zeros((len(ordered), 1)), np.cumsum(centred, axis=1)], axis=1)
    edges = np.pad(cuts, ((0, 0), (1, 1)), constant_values=((0, 0), (0, n)))
    parts = sums[:, edges[:, 1:]] - sums[:, edges[:, :-1]]
    between = (parts**2 / np.diff(edges, axis=1)).sum(axis=2)
    total = (centred**2).sum(axis=1, keepdims=True)
    within = np.maximum(total - between, 1e-12 * total)
    ratio: Values = np.zeros(between.shape)
    np.divide(between, within, out=ratio, where=within > 0)
    return ratio


@functools.cache
def _find_limit(n: int, num_parts: int) -> float:
    """What a cut of n normal values explains at most, but for a share LEVEL of them."""
    generator, cuts = np.random.default_rng(n), _list_cuts(n, num_parts)
    drawn = np.sort(generator.standard_normal((_NUM_SIMULATED, n)), axis=1)
    blocks = np.array_split(drawn, 1 + len(cuts) * _NUM_SIMULATED // 2_000_000)
    largest = np.concatenate([_explain(block, cuts).max(axis=1) for block in blocks])
    return float(np.quantile(largest, 1 - LEVEL))
