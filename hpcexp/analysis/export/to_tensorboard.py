"""TensorBoard's event files: curves of every run, and its table of hyperparameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpcexp.analysis.export.packages import import_package
from hpcexp.analysis.export.runs import ExportedRun, Point, iter_points, iter_runs, make_tag
from hpcexp.analysis.frames import Results
from hpcexp.store.metrics import SPLITS


def write_tensorboard(results: Results, directory: Path) -> None:
    """`RUN/train` and `RUN/validate` with scalars by step, and `RUN` with hyperparameters.

    Raises UsageError where the package tensorboard is not installed.
    """
    import_package("tensorboard", extra="tensorboard")
    for run in iter_runs(results):
        points = list(iter_points(run.table))
        _write_hyperparameters(run, directory / run.name, points)
        for split in SPLITS:
            _write_scalars([p for p in points if p.split == split], directory / run.name / split)


def _write_scalars(points: list[Point], directory: Path) -> None:
    if not points:
        return
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    with _Writer(directory, time=points[0].time) as writer:
        for point in points:
            values = [
                Summary.Value(tag=make_tag(name), simple_value=value)
                for name, value in point.values.items()
            ]
            summary = Summary(value=values)
            writer.write(Event(wall_time=point.time, step=point.step, summary=summary))


def _write_hyperparameters(run: ExportedRun, directory: Path, points: list[Point]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    time = points[0].time if points else 0.0
    hyperparameters = {
        "group": run.group,
        "rand_init": run.rand_init,
        **{name: _make_plain(value) for name, value in run.params.items()},
    }
    summary = hparams_pb(hyperparameters, trial_id=run.name, start_time_secs=time)
    with _Writer(directory, time=time) as writer:
        writer.write(Event(wall_time=time, summary=summary))


def _make_plain(value: Any) -> Any:
    """Hyperparameters are numbers, truth values or text there."""
    if isinstance(value, bool | int | float | str):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)


class _Writer:
    """An event file; TensorBoard's own writer would start a thread for each."""

    def __init__(self, directory: Path, *, time: float) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path, self.time = directory / f"events.out.tfevents.{int(time)}.hpcexp", time

    def __enter__(self) -> _Writer:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.file = self.path.open("wb")
        self.records = RecordWriter(self.file)
        self.write(Event(wall_time=self.time, file_version="brain.Event:2"))
        return self

    def write(self, event: Any) -> None:
        self.records.write(event.SerializeToString())

    def __exit__(self, *_: object) -> None:
        self.file.close()
