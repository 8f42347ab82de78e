"""Writing the metrics of one attempt of a run."""

from __future__ import annotations

import errno
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from hpcexp.errors import HpcexpError, StorageError, SupersededError
from hpcexp.store.metrics.disk import (
    explain_disk_errors,
    open_again,
    put_in_place,
    write_at,
)
from hpcexp.store.metrics.encoding import (
    MAX_BLOCK_ROWS,
    RowLayout,
    encode_header,
    encode_rows,
    encode_table,
    require_columns,
)
from hpcexp.store.metrics.files import delete_earlier, metrics_path, require_newest
from hpcexp.store.metrics.joining import concatenate
from hpcexp.store.metrics.reading import read_metrics
from hpcexp.store.metrics.table import SPLITS, MetricsRow, MetricsTable, allocate


def _do_nothing() -> None:
    """The ownership check of a writer that has no rival."""


class MetricsWriter:
    """Appends the metrics of one attempt of one run; make it with `start`.

    Rows reach the disk in blocks, each synced: when `flush_rows` wait, when the oldest has
    waited for `flush_seconds` at the next append, and by `flush` and `close`. Flush before
    a checkpoint is written: the next attempt keeps the rows up to the checkpoint's step.
    `check` is called before every write and raises where this process lost the run.
    Rows that could not be written (disk full) are kept, and written by the next flush.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        path: Path,
        attempt: int,
        columns: tuple[str, ...],
        size: int,
        check: Callable[[], None],
        flush_rows: int,
        flush_seconds: float,
    ) -> None:
        self.path = path
        self.columns = columns
        self._descriptor: int | None = descriptor
        self._attempt = attempt
        self._size = size  # bytes on disk: where the next block goes
        self._row_bytes = RowLayout(columns, 0).row_bytes
        self._waiting = bytearray()
        self._waiting_since = math.inf
        self._check = check
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds

    @classmethod
    def start(
        cls,
        run_dir: Path,
        *,
        attempt: int,
        columns: Sequence[str],
        resume_step: int | None,
        check: Callable[[], None] = _do_nothing,
        flush_rows: int = 64,
        flush_seconds: float = 10.0,
    ) -> Self:
        """Put this attempt's file in place, then delete those of earlier attempts.

        It begins with the earlier rows up to and including `resume_step`; None starts from
        scratch. Columns that only earlier rows have are kept, after `columns`.
        Raises ValueError for columns that cannot be, SupersededError where this attempt or
        a later one has a file, HpcexpError where earlier rows cannot be read.
        """
        require_columns(columns)
        check()
        require_newest(run_dir, attempt)
        kept = _read_kept_rows(run_dir, columns, resume_step)
        content = encode_header(kept.columns) + encode_table(kept)
        path = metrics_path(run_dir, attempt=attempt)
        try:
            descriptor = put_in_place(path, content, check=check)
        except StorageError:
            require_newest(run_dir, attempt + 1)  # a newer attempt deletes what we have aside
            raise
        try:
            require_newest(run_dir, attempt + 1)
        except HpcexpError:  # as if it had never begun: it may be tried again
            os.close(descriptor)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        with suppress(StorageError):  # the next attempt deletes them; nobody reads them
            delete_earlier(run_dir, attempt)
        return cls(
            descriptor,
            path=path,
            attempt=attempt,
            columns=kept.columns,
            size=len(content),
            check=check,
            flush_rows=flush_rows,
            flush_seconds=flush_seconds,
        )

    def append(self, rows: Sequence[MetricsRow]) -> None:
        """Add rows, in the order of their steps; a value too large for float32 becomes inf.

        Raises ValueError for an unknown column or split, and after `close`.
        """
        if self._descriptor is None:
            raise ValueError(f"{self.path}: the metrics writer is closed")
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting += self._encode(rows)
        waited = time.monotonic() - self._waiting_since
        num_waiting = len(self._waiting) // self._row_bytes
        if num_waiting >= self._flush_rows or waited >= self._flush_seconds:
            self.flush()

    def rewind(self, *, step: int) -> None:
        """Drop the rows after a step, those on disk as well; a reader sees the old file or the new.

        Raises what `flush` raises; then all rows are still there.
        """
        self._replace(self.columns, last_step=step)

    def widen(self, columns: Sequence[str]) -> None:
        """Add columns, of which the rows so far have no value; a reader sees either file whole.

        For those who learn what is measured from the measurements. Raises ValueError for
        columns that cannot be, and what `flush` raises; then the file is as it was.
        """
        wider = tuple(dict.fromkeys([*self.columns, *columns]))
        require_columns(wider)
        if wider != self.columns:
            self._replace(wider, last_step=sys.maxsize)

    def _replace(self, columns: tuple[str, ...], *, last_step: int) -> None:
        self.flush()
        kept = _read_kept_rows(self.path.parent, columns, last_step)
        content = encode_header(kept.columns) + encode_table(kept)
        descriptor = put_in_place(self.path, content, check=self._check, replaces=True)
        self.abandon()
        self._descriptor, self._size = descriptor, len(content)
        self.columns, self._row_bytes = kept.columns, RowLayout(kept.columns, 0).row_bytes

    def flush(self) -> None:
        """Write what waits and wait for the disk: afterwards no crash loses these rows.

        Raises what `check` raises, SupersededError where a newer attempt has a file, and
        StorageError where the disk refuses: then it may be tried again.
        """
        if self._descriptor is None:
            return
        while self._waiting:
            self._check()
            block = bytes(self._waiting[: MAX_BLOCK_ROWS * self._row_bytes])
            try:
                with explain_disk_errors(self.path):
                    write_at(self._descriptor, block, offset=self._size)
            except StorageError as error:
                self._recover(error)
                raise
            self._size += len(block)
            del self._waiting[: len(block)]

    def _recover(self, error: StorageError) -> None:
        """Get hold of the file again where a network file system has let go of it."""
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno != errno.ESTALE:
            return
        require_newest(self.path.parent, self._attempt + 1)
        renewed = open_again(self.path)
        assert self._descriptor is not None
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = renewed

    def close(self) -> None:
        """Flush and close; closing again does nothing."""
        try:
            self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without writing what waits: this process lost the run."""
        if self._descriptor is not None:
            with suppress(OSError):  # what was not synced is given up anyway
                os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exception, SupersededError):
            self.abandon()
        else:
            self.close()

    def _encode(self, rows: Sequence[MetricsRow]) -> bytes:
        for row in rows:
            self._require_known(row)
        wide = [[row.values.get(name, math.nan) for name in self.columns] for row in rows]
        with np.errstate(all="ignore"):  # a loss beyond float32 is inf: that is what happened
            values = np.array(wide, np.float64).astype(np.float32)
        return encode_rows(
            self.columns,
            epoch=[row.epoch for row in rows],
            step=[row.step for row in rows],
            split=[SPLITS.index(row.split) for row in rows],
            time=[row.time for row in rows],
            values=values.reshape(len(rows), len(self.columns)),
        )

    def _require_known(self, row: MetricsRow) -> None:
        if row.split not in SPLITS:
            raise ValueError(f"no such split: {row.split!r}; there are: {', '.join(SPLITS)}")
        unknown = [name for name in row.values if name not in self.columns]
        if unknown:
            raise ValueError(
                f"{self.path}: metrics that were not declared: {', '.join(unknown)}; the columns "
                f"are fixed when the attempt starts: {', '.join(self.columns)}"
            )


def _read_kept_rows(run_dir: Path, columns: Sequence[str], resume_step: int | None) -> MetricsTable:
    declared = allocate(tuple(columns), num_rows=0)
    if resume_step is None:
        return declared
    earlier = read_metrics(run_dir)
    kept, _ = concatenate([declared, earlier.select(earlier.step <= resume_step)])
    return kept
