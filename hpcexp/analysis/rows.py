"""The rows of an experiment's metrics: the few that most questions need, and all when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpcexp.store.metrics import SPLITS, MetricsTable

_VALIDATE = SPLITS.index("validate")

AverageKey = tuple[str, str, int]
"""Metric, split, and window in epochs."""


class Rows:
    """What all rows come to, and the rows themselves, which are read when they are asked for.

    `max_epoch` is the last epoch that any run has recorded; None where there is no row.
    `table` has at least the first and the last validation of each run, `run_index` the run of
    each of its rows. `averages` are (runs, points): means over windows of epochs, kept from the
    first time that they are asked for. `fingerprint` is that of the files they were read from,
    if it is known; `is_kept` says whether all of this stands in a cache already.
    """

    def __init__(
        self,
        *,
        table: MetricsTable,
        run_index: NDArray[np.int32],
        max_epoch: int | None,
        make_frame: Callable[[], pd.DataFrame],
        averages: Mapping[AverageKey, NDArray[np.float64]] | None = None,
        fingerprint: str | None = None,
        is_kept: bool = False,
    ) -> None:
        self.table, self.run_index = table, run_index
        self.max_epoch = max_epoch
        self.averages = dict(averages or {})
        self.fingerprint = fingerprint
        self.is_kept = is_kept
        self._make_frame = make_frame

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row for each run, epoch and split."""
        return self._make_frame()

    def remember(self, key: AverageKey, values: NDArray[np.float64]) -> None:
        """Keep averages for the next time."""
        self.averages[key] = values
        self.is_kept = False


def find_validations(
    table: MetricsTable, run_index: NDArray[np.int32], *, num_runs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of each run's first and last validation, (runs,); -1 where there is none."""
    first = np.full(num_runs, -1, np.int64)
    last = first.copy()
    rows = np.flatnonzero(table.split == _VALIDATE)
    runs = run_index[rows]
    first[runs[::-1]] = rows[::-1]  # of several rows of a run the one assigned last stays
    last[runs] = rows
    return first, last


def keep_validations(
    table: MetricsTable, run_index: NDArray[np.int32], *, num_runs: int
) -> tuple[MetricsTable, NDArray[np.int32]]:
    """Only the first and last validation of each run: all that is asked of runs as a whole."""
    found = find_validations(table, run_index, num_runs=num_runs)
    keep = np.zeros(len(table), np.bool_)
    keep[np.concatenate([rows[rows >= 0] for rows in found])] = True
    return table.select(keep), run_index[keep]
