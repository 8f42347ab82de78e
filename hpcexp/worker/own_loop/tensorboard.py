"""Scalars of TensorBoard's event files, read as reports while they grow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcexp.worker.own_loop.reports import RESERVED, SPLITS, Report

_NO_NAME = re.compile(r"[/\s]+")


class EventFiles:
    """All event files below a directory; those that are there already are of earlier attempts.

    The scalars of one step and split are one report, made when a later step has come or the
    training has ended: a writer appends them one by one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.earlier = frozenset(self._list())
        self.is_first = True
        self.loaders: dict[Path, Any] = {}
        self.waiting: dict[tuple[int, str], dict[str, float]] = {}

    def read_earlier(self) -> list[Report]:
        """What earlier attempts wrote, once."""
        if not self.is_first:
            return []
        self.is_first = False
        for path in sorted(self.earlier):
            self._load(path)
        return self._take(lambda _: True)

    def read(self, *, has_ended: bool) -> list[Report]:
        """What was written since the last call."""
        for path in sorted(set(self._list()) - self.earlier):
            self._load(path)
        newest: dict[str, int] = {}
        for step, split in self.waiting:
            newest[split] = max(step, newest.get(split, 0))
        return self._take(lambda key: has_ended or key[0] < newest[key[1]])

    def _take(self, is_whole: Any) -> list[Report]:
        taken = sorted(key for key in self.waiting if is_whole(key))
        return [Report(None, step, split, self.waiting.pop((step, split))) for step, split in taken]

    def _list(self) -> Iterator[Path]:
        return self.directory.rglob("events.out.tfevents.*")

    def _load(self, path: Path) -> None:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray

        if path not in self.loaders:
            self.loaders[path] = EventFileLoader(str(path))
        for event in self.loaders[path].Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    split, name = split_tag(value.tag)
                    number = float(make_ndarray(value.tensor).item())
                    self.waiting.setdefault((event.step, split), {})[name] = number


def split_tag(tag: str) -> tuple[str, str]:
    """The split and the metric that a tag names, such as `train/loss` or `Loss/validation`.

    Without a split in it, it is one of `validate`.
    """
    parts = [part for part in _NO_NAME.split(tag) if part]
    found = [part for part in parts if part.lower() in SPLITS]
    if not found:
        for name in parts[:1]:  # Lightning's `val_loss` and `train_loss`
            head, _, rest = name.partition("_")
            if head.lower() in SPLITS and rest:
                return SPLITS[head.lower()], ".".join([rest, *parts[1:]])
    split = SPLITS[found[0].lower()] if found else "validate"
    name = ".".join(part for part in parts if not found or part != found[0])
    return split, name if name and name not in RESERVED else f"tensorboard.{name or tag}"
