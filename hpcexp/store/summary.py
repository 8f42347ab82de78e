"""The statuses of all runs in one file, so that nobody has to open ten thousand.

Every process that changes the state of a run adds a line: a checksum and the run's status.
The last line of a run counts. The run's own file stays the truth. A reader trusts lines of
runs that have settled, and looks itself at those that are at work; it makes the summary again
where it is missing, damaged, or found to differ from a few files that are looked at.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from hpcexp.store.files import write_bytes
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.locks import locked

HEADER = b'{"format": 1}'


def start_summary(experiment: ExperimentDir) -> None:
    """Begin the summary of an experiment that is being made: none of its runs has begun."""
    experiment.summary_path.write_bytes(_encode(HEADER))


def append_summary(run_dir: RunDir, status: Mapping[str, Any]) -> None:
    """Add a line, if the run belongs to an experiment that has a summary.

    A line that a full disk or a crash has torn does not spoil the next one.
    """
    experiment = run_dir.experiment
    if not experiment.summary_path.exists():
        return
    line = _encode(json.dumps({"run": run_dir.name, **status}).encode())
    with locked(experiment.summary_lock_path):
        try:
            descriptor = os.open(experiment.summary_path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return
        try:
            _write_line(descriptor, line)
        finally:
            os.close(descriptor)


def _write_line(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    content = b"\n" + line if is_torn else line
    while content:
        content = content[os.write(descriptor, content) :]


def read_summary(experiment: ExperimentDir) -> dict[str, dict[str, Any]] | None:
    """The newest line of each run that has begun; None where the summary must be made again."""
    try:
        content = experiment.summary_path.read_bytes()
    except OSError:
        return None
    lines = content.split(b"\n")
    if not lines or _decode(lines[0]) != HEADER:
        return None
    newest: dict[str, dict[str, Any]] = {}
    for line in lines[1:]:
        if not line:
            continue
        text = _decode(line)
        if text is None:
            return None
        status = json.loads(text)
        newest[status.pop("run")] = status
    return newest


def write_summary(
    experiment: ExperimentDir, read_statuses: Iterable[tuple[str, Mapping[str, Any]]]
) -> None:
    """Make the summary again. The statuses are read under its lock, so that none is missed.

    Raises OSError where the directory cannot be written.
    """
    with locked(experiment.summary_lock_path):
        lines = [_encode(HEADER)]
        for name, status in read_statuses:
            lines.append(_encode(json.dumps({"run": name, **status}).encode()))
        write_bytes(experiment.summary_path, b"".join(lines))


def _encode(text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> bytes | None:
    """The text of a line; None where it is damaged."""
    checksum, _, text = line.partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else None
