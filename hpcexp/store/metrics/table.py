"""Rows of metrics in memory: one, and many as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validate")


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """One evaluation: `step` counts optimiser steps done, `time` is seconds since the epoch.

    A column that `values` leaves out is NaN: not applicable for this split.
    """

    epoch: int
    step: int
    split: str
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class MetricsTable:
    """The rows of a run, or of several, as arrays that must not be changed.

    Shapes: `values` is (rows, columns); the others are (rows,). `split` indexes SPLITS;
    `time` is in seconds since the epoch. NaN is a missing or a truly undefined value.
    """

    columns: tuple[str, ...]
    epoch: NDArray[np.int32]
    step: NDArray[np.int64]
    split: NDArray[np.uint8]
    time: NDArray[np.float64]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.epoch)

    def column(self, name: str) -> NDArray[np.float32]:
        """The values of one metric, (rows,); raises KeyError for an unknown name."""
        if name not in self.columns:
            raise KeyError(f"no metric {name!r}; there are: {', '.join(self.columns)}")
        return self.values[:, self.columns.index(name)]

    def select(self, keep: NDArray[np.bool_] | slice) -> MetricsTable:
        """The rows where `keep`, (rows,), is true, or those of a slice."""
        return MetricsTable(
            self.columns,
            epoch=self.epoch[keep],
            step=self.step[keep],
            split=self.split[keep],
            time=self.time[keep],
            values=self.values[keep],
        )

    def row(self, index: int) -> MetricsRow:
        """One row with all its columns; negative indices count from the end."""
        return MetricsRow(
            epoch=int(self.epoch[index]),
            step=int(self.step[index]),
            split=SPLITS[self.split[index]],
            time=float(self.time[index]),
            values=dict(zip(self.columns, self.values[index].tolist(), strict=True)),
        )


def allocate(columns: tuple[str, ...], *, num_rows: int) -> MetricsTable:
    """A table to be filled; `values` is in Fortran order, as pandas keeps it."""
    return MetricsTable(
        columns,
        epoch=np.empty(num_rows, np.int32),
        step=np.empty(num_rows, np.int64),
        split=np.empty(num_rows, np.uint8),
        time=np.empty(num_rows, np.float64),
        values=np.empty((num_rows, len(columns)), np.float32, order="F"),
    )
