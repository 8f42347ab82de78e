"""TensorBoard while a run trains: event files with its name, a directory for each split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hpcexp.worker.tracking.event_file import EventFile, list_hyperparameters
from hpcexp.worker.tracking.packages import import_package
from hpcexp.worker.tracking.rows import Point
from hpcexp.worker.tracking.tracker import TrackedRun


class TensorboardTracker:
    """New event files for each attempt; what an older one wrote of later steps is purged."""

    can_rewind: ClassVar[bool] = True

    def __init__(self, run: TrackedRun, options: Mapping[str, Any]) -> None:
        del options
        import_package("tensorboard", extra="tensorboard")
        self.run, self.files = run, dict[str, EventFile]()
        self.directory = run.directory / run.name
        self.first_step = run.step + 1
        if not run.id:
            values = list_hyperparameters(run.params, group=run.group, rand_init=run.rand_init)
            with EventFile(self.directory, time=time.time()) as file:
                file.write_hyperparameters(values, name=run.name, time=time.time())

    @property
    def id(self) -> str:
        """The name of its directory."""
        return self.run.name

    def log(self, points: Sequence[Point]) -> None:
        """Append scalars to the file of each split."""
        for point in points:
            self._open(point.split).write_point(point)
        for file in self.files.values():
            file.flush()

    def rewind(self, *, step: int) -> None:
        """Purge the later steps, in the files of this attempt and of older ones."""
        self.first_step = step + 1
        for file in self.files.values():
            file.purge(from_step=self.first_step, time=time.time())

    def end(self, *, state: str, is_finished: bool) -> None:
        """Close the files."""
        del state, is_finished
        for file in self.files.values():
            file.close()
        self.files.clear()

    def _open(self, split: str) -> EventFile:
        if split not in self.files:
            directory, now = self.directory / split, time.time()
            # The number keeps the order of two attempts in one second.
            number = len(list(directory.glob("events.out.tfevents.*")))
            file = EventFile(directory, time=now, number=number)
            if number:
                file.purge(from_step=self.first_step, time=now)
            self.files[split] = file
        return self.files[split]
