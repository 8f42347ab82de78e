"""Rows, hyperparameters and names as trackers and exports take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcexp.store.metrics import SPLITS, MetricsTable


@dataclass(frozen=True)
class Point:
    """The metrics of a split at a step; `time` is in seconds since 1970 (UTC)."""

    step: int
    epoch: int
    split: str
    time: float
    values: Mapping[str, float]


def iter_points(table: MetricsTable, *, after: int = -1) -> Iterator[Point]:
    """The rows of a run after a step, split by split, each with the metrics its split has."""
    for split, split_name in enumerate(SPLITS):
        rows = np.flatnonzero(table.split == split)
        columns = [c for c in table.columns if not np.isnan(table.column(c)[rows]).all()]
        values = np.stack([table.column(c)[rows] for c in columns], axis=1) if columns else None
        for place, row in enumerate(rows.tolist()):
            if table.step[row] <= after:
                continue
            found = () if values is None else values[place].tolist()
            yield Point(
                step=int(table.step[row]),
                epoch=int(table.epoch[row]),
                split=split_name,
                time=float(table.time[row]),
                values=dict(zip(columns, found, strict=True)),
            )


def flatten(params: Mapping[str, Any], *, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Hyperparameters by dotted name; lists stay whole."""
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, inside=f"{inside}{key}.")
        else:
            yield f"{inside}{key}", value


def make_tag(metric: str) -> str:
    """`loss.predict.image` as `loss/predict.image`: viewers make a section of what is before /."""
    return metric.replace(".", "/", 1)


def merge_splits(points: Sequence[Point]) -> Iterator[tuple[int, dict[str, float]]]:
    """The values of all splits by step, lowest first, with `step`, `epoch` and `time`."""
    merged: dict[int, dict[str, float]] = {}
    for point in sorted(points, key=lambda p: (p.step, p.split)):
        values = {f"{point.split}/{make_tag(name)}": value for name, value in point.values.items()}
        named = {**values, "step": point.step, "epoch": point.epoch, "time": point.time}
        merged.setdefault(point.step, {}).update(named)
    yield from merged.items()
