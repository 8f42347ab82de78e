"""A run's metrics on disk: one self-describing file of fixed-width rows per attempt.

`metrics.<attempt>.bin` starts with two lines of text: the format's name, its version and a
checksum of the second line; then JSON with the fields of a row. Rows of equal size follow,
each ending in its own checksum. Without hpcexp, three statements read it:

    with open(path, "rb") as file:
        header = (file.readline(), json.loads(file.readline()))[1]
        rows = numpy.fromfile(file, dtype=[tuple(field) for field in header["fields"]])

Only the writer of an attempt ever writes its file, at offsets that it knows, and it syncs
each block before the next; so only the last MAX_BLOCK_ROWS rows can be torn. Readers take
the file with the highest attempt, need no lock, and leave a torn tail out.
Why this format: docs/decisions/0001-metrics-storage.md.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcexp.errors import HpcexpError, SupersededError

FORMAT_NAME = "hpcexp-metrics"
FORMAT_VERSION = 1
SPLITS = ("train", "validate")
MAX_BLOCK_ROWS = 256
"""Rows written between two syncs, at most: a crash tears no more than these."""

_FIXED_FIELDS = (("time", "<f8"), ("step", "<i8"), ("epoch", "<i4"), ("split", "<u4"))
_NUM_FIXED_WORDS = 6  # 32-bit words of _FIXED_FIELDS
_CHECK_FIELD = ("row_check", "<u4")
_CHECK_SEED = 0x9E3779B9  # not 0: a row of zeros, which a lost page leaves, must not pass
_CHECK_MULTIPLIER = 2654435761  # odd, so that any change of a single word changes the sum
_FILE_PATTERN = re.compile(r"metrics\.([1-9][0-9]*)\.bin")
_MAX_HEADER_BYTES = 1 << 24
_RETRY_DELAYS = (0.0, 0.05, 0.2, 1.0)  # seconds
_NUM_READ_THREADS = 4  # more wait for the interpreter lock rather than for the disk

_T = TypeVar("_T")


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


def metrics_path(run_dir: Path, *, attempt: int) -> Path:
    """The file that an attempt of a run writes its metrics to."""
    return run_dir / f"metrics.{attempt}.bin"


# ------------------------------------------------------------------ bytes <-> arrays


@dataclass(frozen=True)
class _Layout:
    """What a header says: the metric columns, and where the rows begin (bytes)."""

    columns: tuple[str, ...]
    offset: int

    @property
    def dtype(self) -> np.dtype[np.void]:
        return _build_dtype(self.columns)

    @property
    def num_words(self) -> int:
        return _NUM_FIXED_WORDS + len(self.columns) + 1

    @property
    def row_bytes(self) -> int:
        return 4 * self.num_words


@lru_cache
def _build_dtype(columns: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype(_fields(columns))


def _fields(columns: Sequence[str]) -> list[tuple[str, str]]:
    return [*_FIXED_FIELDS, *((name, "<f4") for name in columns), _CHECK_FIELD]


def _encode_header(columns: Sequence[str]) -> bytes:
    content = {
        "about": "rows follow this line: numpy.fromfile(file, [tuple(f) for f in fields])",
        "fields": _fields(columns),
        "splits": SPLITS,
    }
    text = json.dumps(content, ensure_ascii=False).encode() + b"\n"
    return f"{FORMAT_NAME} {FORMAT_VERSION} {zlib.crc32(text):08x}\n".encode() + text


def _read_header(file: BufferedReader, path: Path) -> _Layout:
    title, text = file.readline(256), file.readline(_MAX_HEADER_BYTES)
    name, version, checksum = (*title.decode("ascii", "replace").split(), "", "", "")[:3]
    if name == FORMAT_NAME and version.isdecimal() and int(version) > FORMAT_VERSION:
        raise HpcexpError(
            f"{path}: metrics format {version}, and this hpcexp reads up to {FORMAT_VERSION}: "
            "it was written by a newer hpcexp; read it with that one, or update this one"
        )
    if (name, version, checksum) != (FORMAT_NAME, str(FORMAT_VERSION), f"{zlib.crc32(text):08x}"):
        raise HpcexpError(
            f"{path}: damaged header, so its metrics cannot be read: the first line is "
            f"{title[:60]!r}; restore the file, or delete it to give up this run's metrics"
        )
    fields = json.loads(text)["fields"]
    columns = tuple(field[0] for field in fields[len(_FIXED_FIELDS) : -1])
    return _Layout(columns=columns, offset=len(title) + len(text))


def _row_checks(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The checksum of each row: a weighted sum, modulo 2**32, of all words but the last."""
    sums: NDArray[np.uint32] = words[:, :-1] @ _check_weights(words.shape[1] - 1)
    return sums + np.uint32(_CHECK_SEED)


@lru_cache
def _check_weights(num_words: int) -> NDArray[np.uint32]:
    weights = [pow(_CHECK_MULTIPLIER, i + 1, 1 << 32) for i in range(num_words)]
    return np.array(weights, np.uint32)


def _encode_rows(
    columns: Sequence[str],
    *,
    epoch: ArrayLike,
    step: ArrayLike,
    split: ArrayLike,
    time: ArrayLike,
    values: NDArray[np.float32],
) -> bytes:
    layout = _Layout(columns=tuple(columns), offset=0)
    rows = np.zeros(len(values), layout.dtype)
    rows["epoch"], rows["step"], rows["split"], rows["time"] = epoch, step, split, time
    words = rows.view("<u4").reshape(len(rows), layout.num_words)
    words[:, _NUM_FIXED_WORDS:-1] = values.view("<u4")
    words[:, -1] = _row_checks(words)
    return words.tobytes()


def _decode_rows(words: NDArray[np.uint32], layout: _Layout) -> MetricsTable:
    """Arrays over (rows, words): epoch, step, time and values are views, not copies."""
    rows: Any = words.reshape(-1).view(layout.dtype)
    values = words[:, _NUM_FIXED_WORDS:-1].view(np.float32)
    split = rows["split"].astype(np.uint8)
    return MetricsTable(layout.columns, rows["epoch"], rows["step"], split, rows["time"], values)


def _cut_torn_tail(words: NDArray[np.uint32], path: Path) -> NDArray[np.uint32]:
    """The intact rows; a bad row that no crash explains raises HpcexpError."""
    bad = np.flatnonzero(words[:, -1] != _row_checks(words))
    if not bad.size:
        return words
    num_rows_after = len(words) - int(bad[0])
    if num_rows_after > MAX_BLOCK_ROWS:
        raise HpcexpError(
            f"{path}: damaged row, {num_rows_after} rows before the end (a crash can tear the "
            f"last {MAX_BLOCK_ROWS} only): the disk or a program changed it; restore the file, "
            "or delete it to give up this run's metrics"
        )
    return words[: bad[0]]


# --------------------------------------------------------------------------- reading


def read_metrics(run_dir: Path) -> MetricsTable:
    """All rows of a run, also while it is being written; no rows where it has no file yet.

    Raises HpcexpError for a missing directory, a damaged file or a newer format.
    """
    table = _read_newest(run_dir, _read_table)
    return table if table is not None else _empty_table()


def read_many(
    run_dirs: Sequence[Path], *, num_threads: int = _NUM_READ_THREADS
) -> list[MetricsTable]:
    """The metrics of each run, in order; threads hide the latency of a network file system.

    Raises one HpcexpError that names every run whose metrics cannot be read.
    """
    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        return _run_all([partial(read_metrics, run_dir) for run_dir in run_dirs], pool)


def read_concatenated(
    run_dirs: Sequence[Path], *, num_threads: int = _NUM_READ_THREADS
) -> tuple[MetricsTable, NDArray[np.int32]]:
    """`concatenate(read_many(run_dirs))` in half the time and half the memory.

    Each run is read straight to its place, found from the headers and sizes beforehand.
    Raises as `read_many` does.
    """
    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        sizes = _run_all([partial(_measure, run_dir) for run_dir in run_dirs], pool)
        slots = _lay_out([size.num_rows for size in sizes])
        whole = _allocate(
            _unite([size.columns for size in sizes]), num_rows=slots[-1].stop if slots else 0
        )
        reads = [partial(_read_into, whole, d, s) for d, s in zip(run_dirs, slots, strict=True)]
        counts = _run_all(reads, pool)
    if None in counts:  # a new attempt declared new columns meanwhile
        return concatenate(read_many(run_dirs, num_threads=num_threads))
    keep = np.zeros(len(whole), np.bool_)
    for slot, count in zip(slots, counts, strict=True):
        keep[slot.start : slot.start + (count or 0)] = True
    run_index = _index_runs(slots)
    return (whole, run_index) if keep.all() else (whole.select(keep), run_index[keep])


def read_last(run_dir: Path) -> dict[str, MetricsRow]:
    """The last row of each split that has one, from the end of the file only.

    Raises HpcexpError as `read_metrics` does, but for damage before the rows it looks at.
    """
    return _read_newest(run_dir, _read_last_rows) or {}


def concatenate(tables: Sequence[MetricsTable]) -> tuple[MetricsTable, NDArray[np.int32]]:
    """One table of all rows, and the index in `tables` of each row, (rows,).

    Its columns are the union, in order of first appearance; a run without a column has NaN
    there. `values` is in Fortran order: every metric is contiguous, as pandas keeps it.
    """
    slots = _lay_out([len(table) for table in tables])
    whole = _allocate(
        _unite([table.columns for table in tables]), num_rows=slots[-1].stop if slots else 0
    )
    for table, slot in zip(tables, slots, strict=True):
        _copy_into(whole, table, slot)
    return whole, _index_runs(slots)


def _unite(columns: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in columns for name in names))


def _lay_out(lengths: Sequence[int]) -> list[slice]:
    """Where each of several tables goes in one that holds them all, in order."""
    ends = accumulate(lengths)
    return [slice(end - length, end) for length, end in zip(lengths, ends, strict=True)]


def _index_runs(slots: Sequence[slice]) -> NDArray[np.int32]:
    lengths = [slot.stop - slot.start for slot in slots]
    return np.repeat(np.arange(len(slots), dtype=np.int32), lengths)


def _allocate(columns: tuple[str, ...], *, num_rows: int) -> MetricsTable:
    return MetricsTable(
        columns,
        epoch=np.empty(num_rows, np.int32),
        step=np.empty(num_rows, np.int64),
        split=np.empty(num_rows, np.uint8),
        time=np.empty(num_rows, np.float64),
        values=np.empty((num_rows, len(columns)), np.float32, order="F"),
    )


def _copy_into(whole: MetricsTable, table: MetricsTable, rows: slice) -> None:
    """Copy a table while it is in the processor's cache, so memory is read only once."""
    whole.epoch[rows] = table.epoch
    whole.step[rows] = table.step
    whole.split[rows] = table.split
    whole.time[rows] = table.time
    for index, name in enumerate(whole.columns):
        column = table.column(name) if name in table.columns else np.nan
        whole.values[rows, index] = column


def _empty_table() -> MetricsTable:
    return _allocate((), num_rows=0)


@dataclass(frozen=True)
class _Size:
    columns: tuple[str, ...]
    num_rows: int


def _measure(run_dir: Path) -> _Size:
    """The columns of a run and the number of its rows, a torn tail included."""
    return _read_newest(run_dir, _read_size) or _Size((), 0)


def _read_size(file: BufferedReader, path: Path) -> _Size:
    layout = _read_header(file, path)
    return _Size(layout.columns, _count_rows(file, layout))


def _count_rows(file: BufferedReader, layout: _Layout) -> int:
    size: int = os.fstat(file.fileno()).st_size
    return (size - layout.offset) // layout.row_bytes


def _read_into(whole: MetricsTable, run_dir: Path, slot: slice) -> int | None:
    """Read a run's rows to `slot` of a table; how many, or None where it lacks a column."""
    table = read_metrics(run_dir)
    if not set(table.columns) <= set(whole.columns):
        return None
    num_rows: int = min(len(table), slot.stop - slot.start)  # it may have grown since
    place = slice(slot.start, slot.start + num_rows)
    _copy_into(whole, table.select(slice(num_rows)), place)
    return num_rows


def _run_all(reads: Sequence[Callable[[], _T]], pool: ThreadPoolExecutor) -> list[_T]:
    """The result of each read, in order; one HpcexpError names all that failed."""
    futures = [pool.submit(read) for read in reads]
    errors = [future.exception() for future in futures]
    problems = [f"  {error}" for error in errors if isinstance(error, HpcexpError)]
    if problems:
        count = f"{len(problems)} of {len(reads)} runs"
        raise HpcexpError("\n".join([f"the metrics of {count} cannot be read:", *problems]))
    return [future.result() for future in futures]


def _read_newest(run_dir: Path, read: Callable[[BufferedReader, Path], _T]) -> _T | None:
    """`read` the file of the highest attempt; None where there is none.

    A new attempt may delete the file between our listing and our reading: look again.
    """
    for delay in _RETRY_DELAYS:
        time.sleep(delay)
        paths = _find_files(run_dir)
        if not paths:
            return None
        path = paths[max(paths)]
        try:
            with path.open("rb") as file:
                return read(file, path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise HpcexpError(f"{path}: cannot read metrics: {error.strerror}") from error
    raise HpcexpError(f"{run_dir}: its metrics file is replaced again and again; try again")


def _find_files(run_dir: Path) -> dict[int, Path]:
    """The metrics files of a run by attempt."""
    try:
        matches = [_FILE_PATTERN.fullmatch(path.name) for path in run_dir.iterdir()]
    except OSError as error:
        raise HpcexpError(f"{run_dir}: cannot list the run directory: {error.strerror}") from error
    return {int(match[1]): run_dir / match[0] for match in matches if match}


def _read_table(file: BufferedReader, path: Path) -> MetricsTable:
    layout = _read_header(file, path)
    words = _read_words(file, layout, first=0)
    return _decode_rows(_cut_torn_tail(words, path), layout)


def _read_words(file: BufferedReader, layout: _Layout, *, first: int) -> NDArray[np.uint32]:
    """The complete rows from row `first` to the end, as (rows, words), not yet checked."""
    num_rows = max(0, _count_rows(file, layout) - first)
    words = np.empty((num_rows, layout.num_words), np.uint32)
    file.seek(layout.offset + first * layout.row_bytes)
    num_bytes = file.readinto(words.data.cast("B")) if num_rows else 0
    return words[: num_bytes // layout.row_bytes]


def _read_last_rows(file: BufferedReader, path: Path) -> dict[str, MetricsRow]:
    layout = _read_header(file, path)
    num_rows = _count_rows(file, layout)
    num_tail = 2 * MAX_BLOCK_ROWS
    while True:
        first = max(0, num_rows - num_tail)
        words = _cut_torn_tail(_read_words(file, layout, first=first), path)
        table = _decode_rows(words, layout)
        last = {
            code: int(np.flatnonzero(table.split == code)[-1]) for code in np.unique(table.split)
        }
        if first == 0 or len(last) == len(SPLITS):
            return {SPLITS[code]: table.row(last[code]) for code in sorted(last)}
        num_tail *= 8


# --------------------------------------------------------------------------- writing


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
        columns: tuple[str, ...],
        size: int,
        check: Callable[[], None],
        flush_rows: int,
        flush_seconds: float,
    ) -> None:
        self.path = path
        self.columns = columns
        self._descriptor: int | None = descriptor
        self._size = size  # bytes on disk: where the next block goes
        self._row_bytes = _Layout(columns, 0).row_bytes
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
        _require_columns(columns)
        check()
        _require_newest(run_dir, attempt)
        kept = _read_kept_rows(run_dir, columns, resume_step)
        content = _encode_header(kept.columns) + _encode_table(kept)
        path = metrics_path(run_dir, attempt=attempt)
        descriptor = _put_in_place(path, content, check=check)
        try:
            _require_newest(run_dir, attempt + 1)
            _delete_earlier(run_dir, attempt)
        except HpcexpError as error:
            os.close(descriptor)
            if isinstance(error, SupersededError):
                path.unlink(missing_ok=True)
            raise
        return cls(
            descriptor,
            path=path,
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

    def flush(self) -> None:
        """Write what waits and wait for the disk: afterwards no crash loses these rows.

        Raises what `check` raises, and HpcexpError where the disk refuses.
        """
        if self._descriptor is None:
            return
        while self._waiting:
            self._check()
            block = bytes(self._waiting[: MAX_BLOCK_ROWS * self._row_bytes])
            with _explain_disk_errors(self.path):
                _write_at(self._descriptor, block, offset=self._size)
            self._size += len(block)
            del self._waiting[: len(block)]

    def close(self) -> None:
        """Flush and close; closing again does nothing."""
        try:
            self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without writing what waits: this process lost the run."""
        if self._descriptor is not None:
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
        return _encode_rows(
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


def _require_columns(columns: Sequence[str]) -> None:
    """Raise ValueError for names that are empty, given twice, or those of a fixed field."""
    reserved = [name for name, _ in (*_FIXED_FIELDS, _CHECK_FIELD)]
    wrong = [name for name in columns if not name or name in reserved]
    twice = [name for name in dict.fromkeys(columns) if list(columns).count(name) > 1]
    if wrong or twice:
        raise ValueError(
            f"metrics cannot have these names: {', '.join(map(repr, [*wrong, *twice]))}; a name "
            f"is not empty, occurs once, and is none of {', '.join(reserved)}"
        )


def _require_newest(run_dir: Path, attempt: int) -> None:
    """Raise SupersededError where `attempt` or a later one has a metrics file."""
    if attempt < 1:
        raise ValueError(f"attempts count from 1, not {attempt}")
    latest = max(_find_files(run_dir), default=0)
    if latest >= attempt:
        raise SupersededError(
            f"{metrics_path(run_dir, attempt=latest)}: attempt {latest} has begun, so an earlier "
            "or equal attempt must not; each attempt needs a higher number than all before"
        )


def _read_kept_rows(run_dir: Path, columns: Sequence[str], resume_step: int | None) -> MetricsTable:
    declared = _allocate(tuple(columns), num_rows=0)
    if resume_step is None:
        return declared
    earlier = read_metrics(run_dir)
    kept, _ = concatenate([declared, earlier.select(earlier.step <= resume_step)])
    return kept


def _encode_table(table: MetricsTable) -> bytes:
    return _encode_rows(
        table.columns,
        epoch=table.epoch,
        step=table.step,
        split=table.split,
        time=table.time,
        values=np.ascontiguousarray(table.values),
    )


def _put_in_place(path: Path, content: bytes, *, check: Callable[[], None]) -> int:
    """Write a whole file aside, sync and rename it; its descriptor stays open for writing."""
    aside = path.with_name(path.name + ".tmp")
    with _explain_disk_errors(path):
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write_at(descriptor, content, offset=0)
            check()
            aside.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            aside.unlink(missing_ok=True)
            raise
    return descriptor


def _write_at(descriptor: int, content: bytes, *, offset: int) -> None:
    """Write all of `content` at `offset` and sync; doing it again after a failure is safe."""
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:], offset + done)
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_earlier(run_dir: Path, attempt: int) -> None:
    """Delete the files, finished or aside, of the attempts before this one."""
    with _explain_disk_errors(run_dir):
        for path in list(run_dir.iterdir()):
            match = _FILE_PATTERN.fullmatch(path.name.removesuffix(".tmp"))
            if match and int(match[1]) < attempt:
                path.unlink(missing_ok=True)


@contextmanager
def _explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into HpcexpError: lost files mean a newer attempt."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            raise SupersededError(f"{path}: deleted, as a newer attempt owns the run") from error
        raise HpcexpError(
            f"{path}: cannot write metrics: {error.strerror}; free some space or quota, or mend "
            "the file system, then resume the run"
        ) from error
