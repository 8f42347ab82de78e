"""What all rows of an experiment came to, kept beside its plots: a second look reads no rows.

One file of arrays. It counts only while every metrics file is the one that it was made from, by
name, size and time; a file that is damaged, stale or of another version is as good as none.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.rows import AverageKey, keep_validations
from hpcexp.errors import HpcexpError
from hpcexp.store.files import write_bytes
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import MetricsTable, find_newest

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results

_VERSION = 1
_NUM_THREADS = 8  # hide the latency of a network file system
_FIELDS = ("epoch", "step", "split", "time", "values")


@dataclass(frozen=True, eq=False)
class KeptRows:
    """First and last validations with the run of each, (rows,), and averages over windows."""

    fingerprint: str
    max_epoch: int | None
    table: MetricsTable
    run_index: NDArray[np.int32]
    averages: dict[AverageKey, NDArray[np.float64]]


def keep_rows(results: Results) -> None:
    """Write what is not in the cache yet."""
    rows = results.rows
    if rows.is_kept or rows.fingerprint is None:
        return
    table, run_index = keep_validations(rows.table, rows.run_index, num_runs=len(results.runs))
    kept = KeptRows(rows.fingerprint, rows.max_epoch, table, run_index, rows.averages)
    write_kept_rows(results.experiment, kept)
    rows.is_kept = True


def compute_fingerprint(run_dirs: Sequence[Path]) -> str | None:
    """Of the metrics files that count now, by name, size and time; None where one is away."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        try:
            found = list(pool.map(_identify, run_dirs))
        except (OSError, HpcexpError):
            return None
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def write_kept_rows(experiment: ExperimentDir, kept: KeptRows) -> None:
    """Replace the cache; where it cannot be written there is none."""
    head = {
        "version": _VERSION,
        "fingerprint": kept.fingerprint,
        "max_epoch": kept.max_epoch,
        "columns": kept.table.columns,
        "averages": list(kept.averages),
    }
    arrays: dict[str, Any] = {name: getattr(kept.table, name) for name in _FIELDS}
    arrays |= {f"average_{i}": values for i, values in enumerate(kept.averages.values())}
    buffer = io.BytesIO()
    np.savez(buffer, head=np.array(json.dumps(head)), run_index=kept.run_index, **arrays)
    path = experiment.rows_cache_path
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, buffer.getvalue())


def read_kept_rows(experiment: ExperimentDir, *, fingerprint: str | None) -> KeptRows | None:
    """The cache, if there is one of exactly these files."""
    if fingerprint is None:
        return None
    try:
        with (
            experiment.rows_cache_path.open("rb") as opened,
            np.load(opened, allow_pickle=False) as file,
        ):
            head = json.loads(str(file["head"]))
            if (head["version"], head["fingerprint"]) != (_VERSION, fingerprint):
                return None
            table = MetricsTable(tuple(head["columns"]), **{name: file[name] for name in _FIELDS})
            averages = {
                (metric, split, window): file[f"average_{i}"]
                for i, (metric, split, window) in enumerate(head["averages"])
            }
            return KeptRows(fingerprint, head["max_epoch"], table, file["run_index"], averages)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _identify(run_dir: Path) -> tuple[str, str, int, int] | None:
    """What tells a run's metrics file from any other; None where it has none yet."""
    path = find_newest(run_dir) if run_dir.is_dir() else None
    if path is None:
        return None
    found = path.stat()
    return run_dir.name, path.name, found.st_size, found.st_mtime_ns
