"""What experiments weigh, and what of that is what."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hpcexp.store.layout import METRICS_PATTERN, ExperimentDir

PARTS = ("checkpoints", "kept", "metrics", "logs", "code", "results", "records")
_HERE = ExperimentDir(Path())
_RUN = _HERE.run("run")
_OF_RUNS = {
    _RUN.checkpoints_dir.name: "checkpoints",
    _RUN.forensics_path.name: "checkpoints",
    _RUN.kept_dir.name: "kept",
    _RUN.logs_dir.name: "logs",
    _RUN.inspection_dir.name: "results",
}
_OF_EXPERIMENTS = {
    _HERE.code_dir.name: "code",
    _HERE.plots_dir.name: "results",
    _HERE.eval_dir("x").path.parts[0]: "results",
    _HERE.export_dir("x").parts[0]: "results",
}


@dataclass(frozen=True)
class DiskUse:
    """Bytes of an experiment by part, as their files are long, and how many files there are."""

    experiment: ExperimentDir
    num_bytes: Mapping[str, int]
    num_files: int

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self.num_bytes.values())


def measure(experiment: ExperimentDir) -> DiskUse:
    """What an experiment weighs; a file with two names counts once. It may be at work meanwhile."""
    num_bytes = dict.fromkeys(PARTS, 0)
    seen: set[tuple[int, int]] = set()
    num_files = 0
    for parts, found in _walk(experiment.path, ()):
        place = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and place in seen:
            continue
        seen.add(place)
        num_files += 1
        num_bytes[find_part(parts)] += found.st_size
    return DiskUse(experiment, num_bytes, num_files)


def find_part(parts: Sequence[str]) -> str:
    """What a file is, by the parts of its place in the experiment."""
    if parts[0] == _HERE.runs_dir.name and len(parts) > 2:
        if METRICS_PATTERN.match(parts[2]):
            return "metrics"
        return _OF_RUNS.get(parts[2], "records")
    if parts[0] == _HERE.jobs_dir.name:
        return "logs" if PurePath(parts[-1]).suffix == ".log" else "records"
    return _OF_EXPERIMENTS.get(parts[0], "records")


def _walk(
    directory: Path, parts: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:  # it has gone since
        return
    for entry in entries:
        place = (*parts, entry.name)
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode):
            yield from _walk(Path(entry.path), place)
        elif stat.S_ISREG(found.st_mode):
            yield place, found
