"""What a tracker is to the process that follows runs for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from hpcexp.worker.tracking.rows import Point


@dataclass(frozen=True)
class TrackedRun:
    """A run, and where its tracker writes. `params` are by dotted name.

    `id` is what the tracker called the run in an earlier attempt; empty at first. Rows up to
    `step` were written then.
    """

    name: str
    group: str
    rand_init: int
    params: Mapping[str, Any]
    experiment: str
    project: str
    directory: Path
    id: str = ""
    step: int = -1


class Tracker(Protocol):
    """Writes the rows of one run. Any method may raise anything: the run does not notice."""

    can_rewind: ClassVar[bool]
    """Whether rows that a run took back (a rollback) can be written anew."""

    @property
    def id(self) -> str:
        """By what a later attempt goes on with the same run."""
        ...

    def log(self, points: Sequence[Point]) -> None:
        """Write rows, later ones than all before, but after a rewind."""
        ...

    def rewind(self, *, step: int) -> None:
        """Rows after the step do not count any more."""
        ...

    def end(self, *, state: str, is_finished: bool) -> None:
        """No more rows come from this process."""
        ...
