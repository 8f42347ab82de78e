"""What the page draws as curves, as plain data within a budget of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.curves import Curves, average_curves, choose_window, take_median
from hpcexp.analysis.figures.curves import MAX_GROUPS_WITH_RUNS
from hpcexp.analysis.figures.units import add_unit
from hpcexp.analysis.frames import Results
from hpcexp.analysis.losses import TOTAL_LOSS, describe_loss, is_loss
from hpcexp.analysis.report.numbers import shorten_all
from hpcexp.analysis.tasks import ERROR
from hpcexp.store.metrics import SPLITS

MAX_NUMBERS = 330_000
"""Of single runs, in all curves: six bytes each are 2 MB."""
MIN_POINTS = 25
MAX_CURVES = 16
RUN_DIGITS = 3

_SPLIT_TITLES = {"train": "training", "validate": "validation"}
_KEYS = {"run", "group", "rand_init", "epoch", "step", "split"}
Data = Mapping[str, Any]


def collect_curves(results: Results) -> list[Data]:
    """The primary metric, the total loss, and everything else that was recorded by epoch.

    Each has the median and the quartiles of every group. The first ones have every run too,
    while the budget lasts: at fewer epochs where there are many runs.
    """
    window = choose_window(results)
    collected: list[Data] = []
    left = MAX_NUMBERS
    for name, split in list_curves(results):
        curves = average_curves(results, metric=name, split=split, window=window)
        if not curves.has_lines:
            continue
        step = _choose_step(curves, budget=min(left, MAX_NUMBERS // 3))
        runs = [] if step is None else _collect_runs(curves, step, results)
        left -= 0 if step is None else curves.values.size // step
        collected.append(_collect(curves, runs, step or 1, results))
        if len(collected) == MAX_CURVES:
            break
    return collected


def list_curves(results: Results) -> list[tuple[str, str]]:
    """Metric and split of each curve: first those by which runs are judged."""
    primary = results.metric.name
    names = [str(c) for c in results.metrics.columns if str(c) not in _KEYS]
    first = [(primary, "validate"), (TOTAL_LOSS, "validate"), (TOTAL_LOSS, "train")]
    losses = [n for n in names if is_loss(n)]
    errors = [(n, "validate") for n in names if n.startswith(ERROR)]
    others = [n for n in names if not is_loss(n)]
    rest = [(n, split) for n in (*losses, *others) for split in reversed(SPLITS)]
    return list(dict.fromkeys([*first, *errors, *rest]))


def _choose_step(curves: Curves, *, budget: int) -> int | None:
    """Every how many points of single runs are kept; None where even few would be too many."""
    step = 1
    while curves.values.size // step > budget:
        step *= 2
        if curves.values.shape[1] // step < MIN_POINTS:
            return None
    return step


def _collect(curves: Curves, runs: Sequence[Data], step: int, results: Results) -> Data:
    axis, metric = results.group_axis, results.metric
    is_primary = curves.metric == metric.name
    groups = [curves.select(name) for name in axis.names]
    return {
        "title": _name(curves, results),
        "axis": add_unit(_name(curves, results), curves.metric),
        "cap": metric.cap if is_primary else None,
        "threshold": metric.success_below if is_primary else None,
        "log": not is_primary and is_loss(curves.metric),
        "window": curves.window,
        "epoch": shorten_all(curves.epoch),
        "groups": [_collect_group(group) for group in groups],
        "runs": list(runs),
        "step": step,
        "showRuns": len(axis.names) <= MAX_GROUPS_WITH_RUNS,
    }


def _name(curves: Curves, results: Results) -> str:
    """`loss term kld, unweighted (training)`; a title that names its split names it once."""
    metric, split = curves.metric, f"({_SPLIT_TITLES[curves.split]})"
    title = metric.replace("_", " ")
    if metric == results.metric.name:
        title = results.metric.title
    elif is_loss(metric):
        title = describe_loss(metric, columns=results.metrics.columns)
    return title if title.endswith(split) else f"{title} {split}"


def _collect_group(group: Curves) -> Data:
    low, high = _take_quartiles(group)
    return {
        "median": shorten_all(take_median(group)),
        "low": shorten_all(low, RUN_DIGITS),
        "high": shorten_all(high, RUN_DIGITS),
    }


def _take_quartiles(group: Curves) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quartiles over the runs that got to each point, (points,) each; NaN where none did."""
    ordered = np.sort(group.values, axis=0)  # NaN last
    counts = (~np.isnan(ordered)).sum(axis=0)
    low, high = (_take_ranked(ordered, share * (counts - 1)) for share in (0.25, 0.75))
    return np.where(counts > 0, low, np.nan), np.where(counts > 0, high, np.nan)


def _take_ranked(ordered: NDArray[np.float64], rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values, (points,), of a rank in each column, linear between ranks."""
    if not len(ordered):
        return np.full(ordered.shape[1], np.nan)
    points = np.arange(ordered.shape[1])
    below = np.maximum(np.floor(rank), 0).astype(np.int64)
    above = np.maximum(np.ceil(rank), 0).astype(np.int64)
    low, high = ordered[below, points], ordered[above, points]
    return np.asarray(low + (high - low) * (rank - below), np.float64)


def _collect_runs(curves: Curves, step: int, results: Results) -> list[Data]:
    """Each run's values at every `step`-th point; the last one it has always stays."""
    places = {name: place for place, name in enumerate(results.runs["run"])}
    return [
        {
            "run": places[str(name)],
            "diverged": int(diverged),
            "values": shorten_all(_thin(values, step), RUN_DIGITS),
        }
        for name, diverged, values in zip(
            curves.runs, curves.is_diverged, curves.values, strict=True
        )
    ]


def _thin(values: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Every `step`-th value. Where that has none, the nearest before it since the one kept last.

    Metrics that are validated seldom have values at few points only.
    """
    if step == 1:
        return values
    padded = np.concatenate([values, np.full(-len(values) % step, np.nan)]).reshape(-1, step)
    return np.array([_last_of(block) for block in padded])


def _last_of(block: NDArray[np.float64]) -> float:
    known = block[~np.isnan(block)]
    return float(known[-1]) if len(known) else float("nan")
