"""The rows of several runs as one table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from hpcexp.store.metrics.table import MetricsTable, allocate


def concatenate(tables: Sequence[MetricsTable]) -> tuple[MetricsTable, NDArray[np.int32]]:
    """One table of all rows, and the index in `tables` of each row, (rows,).

    Its columns are the union, in order of first appearance; a run without a column has NaN
    there. `values` is in Fortran order: every metric is contiguous, as pandas keeps it.
    """
    slots = lay_out([len(table) for table in tables])
    whole = allocate(
        unite_columns([table.columns for table in tables]), num_rows=slots[-1].stop if slots else 0
    )
    for table, slot in zip(tables, slots, strict=True):
        copy_into(whole, table, slot)
    return whole, index_runs(slots)


def unite_columns(columns: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """All columns of several tables, in order of first appearance."""
    return tuple(dict.fromkeys(name for names in columns for name in names))


def lay_out(lengths: Sequence[int]) -> list[slice]:
    """Where each of several tables goes in one that holds them all, in order."""
    ends = accumulate(lengths)
    return [slice(end - length, end) for length, end in zip(lengths, ends, strict=True)]


def index_runs(slots: Sequence[slice]) -> NDArray[np.int32]:
    """For each row of a joined table, (rows,), which of the slots it lies in."""
    lengths = [slot.stop - slot.start for slot in slots]
    return np.repeat(np.arange(len(slots), dtype=np.int32), lengths)


def copy_into(whole: MetricsTable, table: MetricsTable, rows: slice) -> None:
    """Copy a table while it is in the processor's cache, so memory is read only once."""
    whole.epoch[rows] = table.epoch
    whole.step[rows] = table.step
    whole.split[rows] = table.split
    whole.time[rows] = table.time
    for index, name in enumerate(whole.columns):
        column = table.column(name) if name in table.columns else np.nan
        whole.values[rows, index] = column
