"""The bytes of a metrics file: header, rows and their checksums."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics.table import SPLITS, MetricsTable

FORMAT_NAME = "hpcexp-metrics"
FORMAT_VERSION = 1
MAX_BLOCK_ROWS = 256
"""Rows written between two syncs, at most: a crash tears no more than these."""

_FIXED_FIELDS = (("time", "<f8"), ("step", "<i8"), ("epoch", "<i4"), ("split", "<u4"))
_NUM_FIXED_WORDS = 6  # 32-bit words of _FIXED_FIELDS
_CHECK_FIELD = ("row_check", "<u4")
_CHECK_SEED = 0x9E3779B9  # not 0: a row of zeros, which a lost page leaves, must not pass
_CHECK_MULTIPLIER = 2654435761  # odd, so that any change of a single word changes the sum
_MAX_HEADER_BYTES = 1 << 24


@dataclass(frozen=True)
class RowLayout:
    """What a header says: the metric columns, and where the rows begin (bytes)."""

    columns: tuple[str, ...]
    offset: int

    @property
    def dtype(self) -> np.dtype[np.void]:
        """A row as a structured type."""
        return _build_dtype(self.columns)

    @property
    def num_words(self) -> int:
        """32-bit words of a row."""
        return _NUM_FIXED_WORDS + len(self.columns) + 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return 4 * self.num_words


@lru_cache
def _build_dtype(columns: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype(_fields(columns))


def _fields(columns: Sequence[str]) -> list[tuple[str, str]]:
    return [*_FIXED_FIELDS, *((name, "<f4") for name in columns), _CHECK_FIELD]


def require_columns(columns: Sequence[str]) -> None:
    """Raise ValueError for names that are empty, given twice, or those of a fixed field."""
    reserved = [name for name, _ in (*_FIXED_FIELDS, _CHECK_FIELD)]
    wrong = [name for name in columns if not name or name in reserved]
    twice = [name for name in dict.fromkeys(columns) if list(columns).count(name) > 1]
    if wrong or twice:
        raise ValueError(
            f"metrics cannot have these names: {', '.join(map(repr, [*wrong, *twice]))}; a name "
            f"is not empty, occurs once, and is none of {', '.join(reserved)}"
        )


def encode_header(columns: Sequence[str]) -> bytes:
    """The two lines of text before the rows."""
    content = {
        "about": "rows follow this line: numpy.fromfile(file, [tuple(f) for f in fields])",
        "fields": _fields(columns),
        "splits": SPLITS,
    }
    text = json.dumps(content, ensure_ascii=False).encode() + b"\n"
    return f"{FORMAT_NAME} {FORMAT_VERSION} {zlib.crc32(text):08x}\n".encode() + text


def read_header(file: BufferedReader, path: Path) -> RowLayout:
    """Read the two lines of text; raises HpcexpError for damage or a newer format."""
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
    return RowLayout(columns=columns, offset=len(title) + len(text))


def encode_table(table: MetricsTable) -> bytes:
    """The bytes of all rows of a table."""
    return encode_rows(
        table.columns,
        epoch=table.epoch,
        step=table.step,
        split=table.split,
        time=table.time,
        values=np.ascontiguousarray(table.values),
    )


def encode_rows(
    columns: Sequence[str],
    *,
    epoch: ArrayLike,
    step: ArrayLike,
    split: ArrayLike,
    time: ArrayLike,
    values: NDArray[np.float32],
) -> bytes:
    """The bytes of rows; `values` is (rows, columns) in C order, the others (rows,)."""
    layout = RowLayout(columns=tuple(columns), offset=0)
    rows = np.zeros(len(values), layout.dtype)
    rows["epoch"], rows["step"], rows["split"], rows["time"] = epoch, step, split, time
    words = rows.view("<u4").reshape(len(rows), layout.num_words)
    words[:, _NUM_FIXED_WORDS:-1] = values.view("<u4")
    words[:, -1] = _row_checks(words)
    return words.tobytes()


def decode_rows(words: NDArray[np.uint32], layout: RowLayout) -> MetricsTable:
    """Arrays over (rows, words): epoch, step, time and values are views, not copies."""
    rows: Any = words.reshape(-1).view(layout.dtype)
    values = words[:, _NUM_FIXED_WORDS:-1].view(np.float32)
    split = rows["split"].astype(np.uint8)
    return MetricsTable(layout.columns, rows["epoch"], rows["step"], split, rows["time"], values)


def cut_torn_tail(words: NDArray[np.uint32], path: Path) -> NDArray[np.uint32]:
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


def _row_checks(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The checksum of each row: a weighted sum, modulo 2**32, of all words but the last."""
    sums: NDArray[np.uint32] = words[:, :-1] @ _check_weights(words.shape[1] - 1)
    return sums + np.uint32(_CHECK_SEED)


@lru_cache
def _check_weights(num_words: int) -> NDArray[np.uint32]:
    weights = [pow(_CHECK_MULTIPLIER, i + 1, 1 << 32) for i in range(num_words)]
    return np.array(weights, np.uint32)
