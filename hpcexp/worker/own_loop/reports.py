"""What a training reports: lines of JSON that it appends to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPLITS = {
    "train": "train",
    "training": "train",
    **dict.fromkeys(("validate", "validation", "valid", "val", "eval"), "validate"),
}
RESERVED = ("epoch", "step", "split", "completed", "time")
MAX_LINE_BYTES = 1 << 20
MAX_METRICS = 1000
_LARGEST = {"epoch": 2**31 - 1, "step": 2**63 - 1}


class ReportError(Exception):
    """A line that says nothing that can be recorded, and why."""


@dataclass(frozen=True)
class Report:
    """Metrics of one split after an epoch, a step, or both; `values` may be not finite."""

    epoch: int | None
    step: int | None
    split: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Completed:
    """The training says that it has ended, whatever it was asked."""


class ReportFile:
    """A file that grows, read line by line; half a line is left until its rest is there."""

    def __init__(self, path: Path) -> None:
        self.path, self.position, self.num_lines = path, 0, 0

    def read(self) -> Iterator[Report | Completed | ReportError]:
        """What was appended since the last call; a line that is no report is given as its fault.

        Raises OSError where the file is there and cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self.position)
            while True:
                line = file.readline(MAX_LINE_BYTES)
                if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                    return
                self.position = file.tell()
                self.num_lines += 1
                if line.strip():
                    yield self._parse(line)

    def read_rest(self) -> ReportError | None:
        """The fault of a last line that was never finished, once nobody writes any more."""
        try:
            rest = self.path.read_bytes()[self.position :]
        except FileNotFoundError:
            return None
        return ReportError(f"the last line was not finished: {_show(rest)}") if rest else None

    def _parse(self, line: bytes) -> Report | Completed | ReportError:
        try:
            return parse_line(line)
        except ReportError as error:
            return ReportError(f"line {self.num_lines}: {error}")


def parse_line(line: bytes) -> Report | Completed:
    """A report, such as `{"epoch": 3, "split": "validate", "loss": 0.2}`.

    Raises ReportError, which says what was found and what is wanted.
    """
    try:
        content = json.loads(line)
    except ValueError:
        raise ReportError(f"no JSON: {_show(line)}") from None
    if not isinstance(content, dict):
        raise ReportError(f'no JSON object such as {{"epoch": 1, "loss": 0.5}}: {_show(line)}')
    if content.get("completed") is True:
        return Completed()
    epoch, step = _read_count(content, "epoch"), _read_count(content, "step")
    if epoch is None and step is None:
        raise ReportError(f"neither epoch nor step: {_show(line)}")
    split = content.get("split", "validate")
    if not isinstance(split, str) or split.lower() not in SPLITS:
        raise ReportError(f"split {split!r}; must be train or validate")
    values = dict(_read_values(content))
    if len(values) > MAX_METRICS:
        raise ReportError(f"{len(values)} metrics; at most {MAX_METRICS} in a line")
    return Report(epoch, step, SPLITS[split.lower()], values)


def _read_count(content: Mapping[str, Any], name: str) -> int | None:
    value = content.get(name)
    if value is None:
        return None
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    if not is_whole or not 0 <= value <= _LARGEST[name]:
        raise ReportError(f"{name} is {value!r}; must be a whole number of at least 0")
    return int(value)


def _read_values(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        if name in RESERVED or value is None:
            continue
        if not isinstance(value, int | float):
            raise ReportError(f"{name} is {value!r:.40}; a metric must be a number")
        if not name or not name.isprintable() or name == "row_check":  # a field of our files
            raise ReportError(f"{name!r:.40} cannot name a metric")
        try:
            yield name, float(value)
        except OverflowError:
            raise ReportError(f"{name} is a number of more digits than any metric") from None


def _show(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
