"""Which files of an experiment go into its archive, and in which order."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path, PurePosixPath

from hpcexp.errors import HpcexpError
from hpcexp.store.layout import STATISTICS_FILE, UNFINISHED_PREFIX, ExperimentDir

_HERE = ExperimentDir(Path())
_RUN = _HERE.run("run")
_RUNS, _JOBS = _HERE.runs_dir.name, _HERE.jobs_dir.name
_WRITTEN_LATER = frozenset({_RUNS, _JOBS, _HERE.plots_dir.name, _HERE.eval_dir("x").path.parts[0]})
_STATISTICS = f"{_HERE.plots_dir.name}/{STATISTICS_FILE}"
_METRICS = "metrics."
# Locks, claims, and what is being written at this moment, or was when its writer was killed.
TRANSIENT = re.compile(
    r"\.lock|\.(summary|held|tracking\.[a-z]+)\.lock|\..*lock\.held|\.claim\.[0-9]+|\..*\.tmp|metrics\.[0-9]+\.bin\.tmp"
)


class Part(IntEnum):
    """What a file is for, in the order of an archive."""

    RECORDS = 0
    METRICS = 1
    LOGS = 2
    RESULTS = 3
    PARAMETERS = 4
    CHECKPOINTS = 5


READ_IN_PLACE = frozenset({Part.RECORDS, Part.METRICS, Part.LOGS})
"""What `status`, `logs` and `plot` look at."""

LISTED = frozenset({Part.RECORDS})
"""What `list` and the notebook's words come from."""


@dataclass(frozen=True)
class Listing:
    """The files of an experiment in the order of an archive, and its links."""

    files: tuple[tuple[str, os.stat_result], ...]
    links: dict[str, str]

    def select(self, *, checkpoints: bool) -> Listing:
        """The checkpoints, or all the others."""
        chosen = [f for f in self.files if (find_part(f[0]) == Part.CHECKPOINTS) == checkpoints]
        return Listing(tuple(chosen), {} if checkpoints else self.links)

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(found.st_size for _, found in self.files)

    def find_change(self, other: Listing) -> str | None:
        """A file that is not the same in both; None where there is none."""
        here, there = ({path: _identify(s) for path, s in x.files} for x in (self, other))
        differing = [
            path for path in here.keys() | there.keys() if here.get(path) != there.get(path)
        ]
        differing += [p for p, _ in self.links.items() ^ other.links.items()]
        return min(differing, default=None)


def _identify(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def find_part(path: str) -> Part:
    """What a file is for, by its place in the experiment."""
    parts = PurePosixPath(path).parts
    if parts[0] == _RUNS and len(parts) >= 3:
        return _find_part_of_run(parts)
    if parts[0] == _JOBS:
        return Part.RECORDS if len(parts) == 2 else Part.LOGS
    is_record = (
        len(parts) == 1
        or parts[0] == _HERE.notes_dir.name
        or (parts[0] == _HERE.provenance_dir.name and path.endswith(".json"))
        or path == _STATISTICS
    )
    return Part.RECORDS if is_record else Part.RESULTS


def _find_part_of_run(parts: tuple[str, ...]) -> Part:
    folders = {
        _RUN.checkpoints_dir.name: Part.CHECKPOINTS,
        _RUN.kept_dir.name: Part.PARAMETERS,
        _RUN.logs_dir.name: Part.LOGS,
    }
    if len(parts) > 3:
        return folders.get(parts[2], Part.RESULTS)
    if parts[2].endswith(".pt"):
        return Part.PARAMETERS
    return Part.METRICS if parts[2].startswith(_METRICS) else Part.RECORDS


def list_files(experiment: ExperimentDir) -> Listing:
    """Every file of an experiment but locks and what was never finished.

    Raises HpcexpError where something is neither file, directory nor link, or cannot be read.
    """
    files: list[tuple[str, os.stat_result]] = []
    links: dict[str, str] = {}
    try:
        for path, entry in _walk(experiment.path, ""):
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                files.append((path, found))
            elif stat.S_ISLNK(found.st_mode):
                links[path] = os.readlink(entry.path)  # noqa: PTH115 (no path, but a name)
            else:
                raise HpcexpError(
                    f"{entry.path}: is neither a file nor a directory; an archive cannot hold it: "
                    "move it elsewhere"
                )
    except OSError as error:
        raise HpcexpError(f"{error.filename}: cannot be read ({error.strerror})") from error
    files.sort(key=lambda f: (find_part(f[0]), f[0].count("/"), f[0]))
    return Listing(tuple(files), links)


def _walk(directory: Path | str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if not path.startswith(UNFINISHED_PREFIX):  # of an extension that was killed
                    yield from _walk(entry.path, f"{path}/")
            elif not _is_transient(path, entry.name):
                yield path, entry


def _is_transient(path: str, name: str) -> bool:
    """Copies of code, and templates, may hold files that are only named like ours."""
    place = path.partition("/")[0]
    return (place == path or place in _WRITTEN_LATER) and bool(TRANSIENT.fullmatch(name))
