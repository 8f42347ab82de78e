"""MLflow: a database in one file, which `mlflow ui` shows; nothing is sent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hpcexp.analysis.export.runs import ExportedRun, iter_runs
from hpcexp.analysis.frames import Results
from hpcexp.store.status import FINISHED
from hpcexp.worker.tracking.packages import import_package
from hpcexp.worker.tracking.rows import iter_points
from hpcexp.worker.tracking.to_mlflow import MAX_METRICS, log_metrics, log_params, split


def write_mlflow(results: Results, directory: Path) -> None:
    """`mlflow.db`: an MLflow experiment with a run for each run.

    Raises UsageError where the package mlflow, or what it needs for databases, is not installed.
    """
    mlflow = import_package("mlflow", extra="mlflow", wanted="--to mlflow")
    for needed in ("sqlalchemy", "alembic"):
        import_package(needed, extra="mlflow", wanted="--to mlflow")
    for name in ("mlflow", "alembic"):  # they tell how they make tables
        logging.getLogger(name).setLevel(logging.WARNING)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{directory.resolve() / 'mlflow.db'}")
    # Where files would go, though there are none; the database itself is moved when it is done.
    artifacts = (results.experiment.export_dir("mlflow") / "artifacts").resolve().as_uri()
    experiment_id = client.create_experiment(results.experiment.name, artifact_location=artifacts)
    for run in iter_runs(results):
        _write_run(client, run, experiment_id=experiment_id)


def _write_run(client: Any, run: ExportedRun, *, experiment_id: str) -> None:
    from mlflow.entities import Metric

    points = list(iter_points(run.table))
    times = [int(point.time * 1000) for point in points] or [0]
    made = client.create_run(
        experiment_id,
        start_time=min(times),
        run_name=run.name,
        tags={"group": run.group, "state": run.state, "rand_init": str(run.rand_init)},
    )
    log_params(client, made.info.run_id, run.params)
    log_metrics(client, made.info.run_id, points)
    final = [Metric(f"final/{n}", v, max(times), 0) for n, v in run.final.items()]
    for chunk in split(final, MAX_METRICS):
        client.log_batch(made.info.run_id, metrics=chunk)
    status = "FINISHED" if run.state in FINISHED else "RUNNING"
    client.set_terminated(made.info.run_id, status=status, end_time=max(times))
