"""Which metrics file of a run counts: that of the newest attempt."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from hpcexp.errors import HpcexpError, StorageError, SupersededError
from hpcexp.store.layout import METRICS_PATTERN, RunDir
from hpcexp.store.metrics.disk import explain_disk_errors

_RETRY_DELAYS = (0.0, 0.05, 0.2, 1.0)  # seconds
_T = TypeVar("_T")


def metrics_path(run_dir: Path, *, attempt: int) -> Path:
    """The file that an attempt of a run writes its metrics to."""
    return RunDir(run_dir).metrics_path(attempt)


def find_files(run_dir: Path) -> dict[int, Path]:
    """The metrics files of a run by attempt."""
    try:
        matches = [METRICS_PATTERN.fullmatch(path.name) for path in run_dir.iterdir()]
    except OSError as error:
        raise StorageError(f"{run_dir}: cannot list the run directory: {error.strerror}") from error
    return {int(match[1]): run_dir / match[0] for match in matches if match}


def find_newest(run_dir: Path) -> Path | None:
    """The metrics file that counts; None where there is none yet.

    Raises StorageError where the directory cannot be listed.
    """
    paths = find_files(run_dir)
    return paths[max(paths)] if paths else None


def read_newest(run_dir: Path, read: Callable[[BufferedReader, Path], _T]) -> _T | None:
    """`read` the file of the highest attempt; None where there is none.

    A new attempt may delete the file between our listing and our reading: look again.
    """
    for delay in _RETRY_DELAYS:
        time.sleep(delay)
        paths = find_files(run_dir)
        if not paths:
            return None
        path = paths[max(paths)]
        try:
            with path.open("rb") as file:
                return read(file, path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise StorageError(f"{path}: cannot read metrics: {error.strerror}") from error
    raise HpcexpError(f"{run_dir}: its metrics file is replaced again and again; try again")


def require_newest(run_dir: Path, attempt: int) -> None:
    """Raise SupersededError where `attempt` or a later one has a metrics file."""
    if attempt < 1:
        raise ValueError(f"attempts count from 1, not {attempt}")
    latest = max(find_files(run_dir), default=0)
    if latest >= attempt:
        raise SupersededError(
            f"{metrics_path(run_dir, attempt=latest)}: attempt {latest} has begun, so an earlier "
            "or equal attempt must not; each attempt needs a higher number than all before"
        )


def delete_earlier(run_dir: Path, attempt: int) -> None:
    """Delete the files, finished or aside, of the attempts before this one."""
    with explain_disk_errors(run_dir):
        for path in list(run_dir.iterdir()):
            match = METRICS_PATTERN.fullmatch(path.name.removesuffix(".tmp"))
            if match and int(match[1]) < attempt:
                path.unlink(missing_ok=True)
