"""TensorBoard's event files: curves of every run, and its table of hyperparameters."""

from __future__ import annotations

from pathlib import Path

from hpcexp.analysis.export.runs import ExportedRun, iter_runs
from hpcexp.analysis.frames import Results
from hpcexp.store.metrics import SPLITS
from hpcexp.worker.tracking.event_file import EventFile, list_hyperparameters
from hpcexp.worker.tracking.packages import import_package
from hpcexp.worker.tracking.rows import Point, iter_points


def write_tensorboard(results: Results, directory: Path) -> None:
    """`RUN/train` and `RUN/validate` with scalars by step, and `RUN` with hyperparameters.

    Raises UsageError where the package tensorboard is not installed.
    """
    import_package("tensorboard", extra="tensorboard", wanted="--to tensorboard")
    for run in iter_runs(results):
        points = list(iter_points(run.table))
        _write_hyperparameters(run, directory / run.name, points)
        for split in SPLITS:
            _write_scalars([p for p in points if p.split == split], directory / run.name / split)


def _write_scalars(points: list[Point], directory: Path) -> None:
    if not points:
        return
    with EventFile(directory, time=points[0].time) as file:
        for point in points:
            file.write_point(point)


def _write_hyperparameters(run: ExportedRun, directory: Path, points: list[Point]) -> None:
    time = points[0].time if points else 0.0
    values = list_hyperparameters(run.params, group=run.group, rand_init=run.rand_init)
    with EventFile(directory, time=time) as file:
        file.write_hyperparameters(values, name=run.name, time=time)
