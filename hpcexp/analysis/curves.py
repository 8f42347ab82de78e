"""Curves over training as numbers: averaged over windows of epochs, then over runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpcexp.analysis.frames import Results
from hpcexp.store.metrics import SPLITS
from hpcexp.store.status import State

NUM_WINDOWS = 100


@dataclass(frozen=True, eq=False)
class Curves:
    """One metric on one split, a row of points for each run that recorded it.

    Shapes: `values` is (runs, points), NaN where a run recorded nothing; `epoch` is
    (points,), the middle of each window, first epoch 0 (before training) on its own;
    `runs`, `group` and `is_diverged` are (runs,). `window` is in epochs.
    """

    metric: str
    split: str
    window: int
    epoch: NDArray[np.float64]
    values: NDArray[np.float64]
    runs: NDArray[np.str_]
    group: NDArray[np.str_]
    is_diverged: NDArray[np.bool_]

    @property
    def is_empty(self) -> bool:
        """Whether there is no finite value."""
        return not np.isfinite(self.values).any()

    @property
    def has_lines(self) -> bool:
        """Whether a run has two points: one alone, as that of imported results, is no line."""
        return bool((np.isfinite(self.values).sum(axis=1) > 1).any())

    def select(self, group: str) -> Curves:
        """The runs of one group."""
        keep = self.group == group
        return Curves(
            self.metric,
            self.split,
            self.window,
            self.epoch,
            values=self.values[keep],
            runs=self.runs[keep],
            group=self.group[keep],
            is_diverged=self.is_diverged[keep],
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per run and window that holds a value."""
        runs, points = np.nonzero(~np.isnan(self.values))
        return pd.DataFrame(
            {
                "run": self.runs[runs],
                "group": self.group[runs],
                "metric": self.metric,
                "split": self.split,
                "epoch": self.epoch[points],
                "window": np.where(points == 0, 1, self.window),
                "value": self.values[runs, points],
            }
        )


def choose_window(results: Results) -> int:
    """Epochs to average over: about one per cent of the longest run, at least one."""
    return max(1, round(_count_epochs(results) / NUM_WINDOWS))


def average_curves(results: Results, *, metric: str, split: str, window: int) -> Curves:
    """The mean of a metric in each window of epochs, for each run.

    Values that are not finite are left out of the mean. A metric that nobody has recorded
    on this split gives no runs.
    """
    means = results.rows.averages.get((metric, split, window))
    if means is None or means.shape != (len(results.runs), _count_points(results, window)):
        means = _average(results, metric=metric, split=split, window=window)
        results.rows.remember((metric, split, window), means)
    recorded = ~np.isnan(means).all(axis=1)
    runs = results.runs[recorded]
    return Curves(
        metric,
        split,
        window,
        epoch=_find_middles(means.shape[1], window),
        values=means[recorded],
        runs=runs["run"].to_numpy(str),
        group=runs["group"].to_numpy(str),
        is_diverged=(runs["state"] == State.DIVERGED).to_numpy(bool),
    )


def _average(results: Results, *, metric: str, split: str, window: int) -> NDArray[np.float64]:
    """Means over windows, (runs, points); NaN where a run has recorded nothing."""
    frame = results.metrics
    rows = np.flatnonzero(frame["split"].cat.codes.to_numpy() == SPLITS.index(split))
    values = np.full(len(rows), np.nan, np.float32)
    if metric in frame:
        values = frame[metric].to_numpy()[rows]
    finite = np.isfinite(values)
    rows, values = rows[finite], values[finite]
    num_points = _count_points(results, window)
    # (epoch + window - 1) // window: epoch 0 is point 0, epochs 1 to window are point 1.
    point = (frame["epoch"].to_numpy()[rows] + window - 1) // window
    run = frame["run"].cat.codes.to_numpy()[rows].astype(np.int64)
    return _take_means(run * num_points + point, values, shape=(len(results.runs), num_points))


def take_median(curves: Curves) -> NDArray[np.float64]:
    """The median over runs at each point, (points,); infinite where it falls on a diverged run.

    A diverged run is the worst of all from where its curve ends. NaN where less than half of
    the runs have a value: a median of the few that are ahead says little of the group.
    """
    if not len(curves.values):
        return np.full(len(curves.epoch), np.nan)
    values = np.where(_is_past_end(curves), np.inf, curves.values)
    counts = (~np.isnan(values)).sum(axis=0)
    ordered = np.sort(values, axis=0)  # NaN last
    points = np.arange(values.shape[1])
    enough = (counts > 0) & (2 * counts >= len(values))
    lower, upper = ordered[np.maximum(counts - 1, 0) // 2, points], ordered[counts // 2, points]
    return np.where(enough, (lower + upper) / 2, np.nan)


def find_ends(curves: Curves) -> NDArray[np.int64]:
    """The last point of each run that has a value, (runs,)."""
    num_points = curves.values.shape[1]
    from_end = np.argmax(~np.isnan(curves.values[:, ::-1]), axis=1)
    return np.asarray(num_points - 1 - from_end, np.int64)


def join_frames(curves: Sequence[Curves], results: Results) -> pd.DataFrame:
    """Several curves as one tidy table, with the hyperparameters of each run."""
    params = [name for name in results.runs if str(name).startswith("params.")]
    runs = results.runs[["run", *params, "rand_init", "state"]]
    table = pd.concat([c.to_frame() for c in curves], ignore_index=True)
    return table.merge(runs, on="run", how="left")


def _is_past_end(curves: Curves) -> NDArray[np.bool_]:
    places = np.arange(curves.values.shape[1])
    past: NDArray[np.bool_] = places > find_ends(curves)[:, None]
    return past & curves.is_diverged[:, None]


def _count_epochs(results: Results) -> int:
    planned = results.runs["num_epochs"].max()
    return max(int(planned), results.rows.max_epoch or 0, 1)


def _count_points(results: Results, window: int) -> int:
    return 1 + -(-_count_epochs(results) // window)


def _take_means(
    index: NDArray[np.int64], values: NDArray[np.float32], *, shape: tuple[int, int]
) -> NDArray[np.float64]:
    size = shape[0] * shape[1]
    sums = np.bincount(index, weights=values, minlength=size)
    counts = np.bincount(index, minlength=size)
    means = np.full(size, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.reshape(shape)


def _find_middles(num_points: int, window: int) -> NDArray[np.float64]:
    middles = np.asarray((np.arange(num_points) - 1) * window + (window + 1) / 2, np.float64)
    middles[0] = 0
    return middles
