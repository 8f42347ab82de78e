"""MLflow: a database in one file, which `mlflow ui` shows; nothing is sent."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hpcexp.analysis.export.packages import import_package
from hpcexp.analysis.export.runs import ExportedRun, iter_points, iter_runs, make_tag
from hpcexp.analysis.frames import Results
from hpcexp.store.status import FINISHED

_MAX_METRICS, _MAX_PARAMS, _MAX_LENGTH = 1000, 100, 6000  # of one call of MLflow's interface


def write_mlflow(results: Results, directory: Path) -> None:
    """`mlflow.db`: an MLflow experiment with a run for each run.

    Raises UsageError where the package mlflow, or what it needs for databases, is not installed.
    """
    mlflow = import_package("mlflow", extra="mlflow")
    for needed in ("sqlalchemy", "alembic"):
        import_package(needed, extra="mlflow")
    for name in ("mlflow", "alembic"):  # they tell how they make tables
        logging.getLogger(name).setLevel(logging.WARNING)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{directory.resolve() / 'mlflow.db'}")
    # Where files would go, though there are none; the database itself is moved when it is done.
    artifacts = (results.experiment.export_dir("mlflow") / "artifacts").resolve().as_uri()
    experiment_id = client.create_experiment(results.experiment.name, artifact_location=artifacts)
    for run in iter_runs(results):
        _write_run(client, run, experiment_id=experiment_id)


def _write_run(client: Any, run: ExportedRun, *, experiment_id: str) -> None:
    from mlflow.entities import Metric, Param

    points = list(iter_points(run.table))
    times = [int(point.time * 1000) for point in points] or [0]
    made = client.create_run(
        experiment_id,
        start_time=min(times),
        run_name=run.name,
        tags={"group": run.group, "state": run.state, "rand_init": str(run.rand_init)},
    )
    params = [Param(name, str(value)[:_MAX_LENGTH]) for name, value in run.params.items()]
    for chunk in _split(params, _MAX_PARAMS):
        client.log_batch(made.info.run_id, params=chunk)
    metrics = [
        Metric(f"{point.split}/{make_tag(name)}", value, int(point.time * 1000), point.step)
        for point in points
        for name, value in point.values.items()
    ]
    metrics += [Metric(f"final/{n}", v, max(times), 0) for n, v in run.final.items()]
    for chunk in _split([m for m in metrics if not math.isnan(m.value)], _MAX_METRICS):
        client.log_batch(made.info.run_id, metrics=chunk)
    status = "FINISHED" if run.state in FINISHED else "RUNNING"
    client.set_terminated(made.info.run_id, status=status, end_time=max(times))


def _split(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
