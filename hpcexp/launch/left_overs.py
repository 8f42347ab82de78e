"""What commands and workers left behind when they were killed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpcexp.store.layout import METRICS_PATTERN, REMOVED_PREFIX, UNFINISHED_PREFIX, ExperimentDir

MIN_AGE_S = 24 * 3600.0
_ASIDE = re.compile(r"\..+\.tmp")


@dataclass(frozen=True)
class LeftOver:
    """A file, or a whole directory, that nobody will ever finish."""

    path: Path
    num_files: int
    num_bytes: int


def find_left_overs(directory: Path, *, now: float | None = None) -> list[LeftOver]:
    """In a directory of experiments: ones that were being made or removed, and half archives.

    Only what was not touched for a day: what is younger may be at work.
    """
    limit = _find_limit(now)
    return [*_find_trees(directory, limit), *_find_files([directory], limit)]


def find_left_overs_within(
    experiment: ExperimentDir, *, now: float | None = None
) -> list[LeftOver]:
    """In an experiment: what was being written aside by a process that is dead, after a day."""
    runs = [experiment.run(path.name) for path in _list(experiment.runs_dir)]
    folders = [
        *(experiment.path, experiment.jobs_dir, experiment.plots_dir),
        *(folder for run_dir in runs for folder in (run_dir.path, run_dir.checkpoints_dir)),
    ]
    limit = _find_limit(now)
    return [*_find_trees(experiment.path, limit), *_find_files(folders, limit)]


def _find_limit(now: float | None) -> float:
    return (time.time() if now is None else now) - MIN_AGE_S


def _find_trees(directory: Path, limit: float) -> list[LeftOver]:
    prefixes = (UNFINISHED_PREFIX, REMOVED_PREFIX)
    trees = [p for p in _list(directory) if p.name.startswith(prefixes) and not p.is_symlink()]
    return [found for path in trees if path.is_dir() for found in _measure_tree(path, limit)]


def _find_files(folders: Iterable[Path], limit: float) -> list[LeftOver]:
    paths = [path for folder in folders for path in _list(folder) if _is_aside(path.name)]
    return [found for path in paths for found in _measure_file(path, limit)]


def _is_aside(name: str) -> bool:
    if not name.endswith(".tmp"):
        return False
    return bool(_ASIDE.fullmatch(name) or METRICS_PATTERN.fullmatch(name.removesuffix(".tmp")))


def remove_left_over(left_over: LeftOver) -> bool:
    """Delete it; whether it is gone."""
    if left_over.path.is_dir():
        shutil.rmtree(left_over.path, ignore_errors=True)
    else:
        left_over.path.unlink(missing_ok=True)
    return not left_over.path.exists()


def _measure_tree(path: Path, limit: float) -> Iterator[LeftOver]:
    num_files = num_bytes = 0
    newest = path.stat().st_ctime
    for root, folders, names in os.walk(path):
        for name in (*folders, *names):
            try:
                found = (Path(root) / name).lstat()
            except OSError:  # somebody deletes it at this moment
                return
            # Not the time of modification, which a restored archive sets to that of old.
            newest = max(newest, found.st_ctime)
            num_files += stat.S_ISREG(found.st_mode)
            num_bytes += found.st_size if stat.S_ISREG(found.st_mode) else 0
    if newest < limit:
        yield LeftOver(path, num_files, num_bytes)


def _measure_file(path: Path, limit: float) -> Iterator[LeftOver]:
    try:
        found = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_ctime < limit:
        yield LeftOver(path, 1, found.st_size)


def _list(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
