"""TensorBoard's event files; its own writer would start a thread for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcexp.worker.tracking.rows import Point, make_tag


class EventFile:
    """A new event file; `time` and `number` order the files of a directory."""

    def __init__(self, directory: Path, *, time: float, number: int = 0) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        directory.mkdir(parents=True, exist_ok=True)
        later = f".{number:04d}" if number else ""
        path = directory / f"events.out.tfevents.{int(time)}{later}.hpcexp"
        self.file = path.open("wb")
        self.records = RecordWriter(self.file)
        self._write(wall_time=time, file_version="brain.Event:2")

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_point(self, point: Point) -> None:
        """Scalars of a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=make_tag(name), simple_value=value)
            for name, value in point.values.items()
        ]
        self._write(wall_time=point.time, step=point.step, summary=Summary(value=values))

    def write_hyperparameters(self, values: Mapping[str, Any], *, name: str, time: float) -> None:
        """A row of TensorBoard's table of hyperparameters."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        plain = {key: _make_plain(value) for key, value in values.items()}
        summary = hparams_pb(plain, trial_id=name, start_time_secs=time)
        self._write(wall_time=time, summary=summary)

    def purge(self, *, from_step: int, time: float) -> None:
        """Make TensorBoard forget what older files and events say of this step and later ones."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        session = SessionLog(status=SessionLog.START)
        self._write(wall_time=time, step=from_step, session_log=session)

    def flush(self) -> None:
        """Let TensorBoard see what was written."""
        self.file.flush()

    def close(self) -> None:
        """No more is written."""
        self.file.close()

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.records.write(Event(**fields).SerializeToString())


def list_hyperparameters(
    params: Mapping[str, Any], *, group: str, rand_init: int
) -> dict[str, Any]:
    """A run's row in the table of hyperparameters."""
    return {"group": group, "rand_init": rand_init, **params}


def _make_plain(value: Any) -> Any:
    """Hyperparameters are numbers, truth values or text there."""
    if isinstance(value, bool | int | float | str):
        return value
    return json.dumps(list(value) if isinstance(value, Sequence) else value)
