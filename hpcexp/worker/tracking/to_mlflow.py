"""MLflow while a run trains: files in the experiment's directory, or a tracking server."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from hpcexp.store.locks import locked
from hpcexp.worker.tracking.packages import import_package
from hpcexp.worker.tracking.rows import Point
from hpcexp.worker.tracking.tracker import TrackedRun

MAX_METRICS, MAX_PARAMS, MAX_LENGTH = 1000, 100, 6000  # of one call of MLflow's interface


class MlflowTracker:
    """One run of MLflow, whatever the number of attempts.

    Without a server its runs are files: jobs on many nodes would wait for each other's locks
    on a database, where the file system has working locks at all.
    """

    can_rewind: ClassVar[bool] = False

    def __init__(self, run: TrackedRun, options: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        mlflow = import_package("mlflow", extra="mlflow")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        run.directory.mkdir(parents=True, exist_ok=True)
        uri = os.path.expandvars(options.get("uri") or "") or run.directory.resolve().as_uri()
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self._id = run.id
        if not self._id:
            experiment = options.get("experiment") or run.experiment
            with locked(run.directory / ".lock"):  # two of one name would be two experiments
                experiment_id = self._find_experiment(experiment)
            self._id = self._create(run, experiment_id)
        else:
            self.client.update_run(self._id, status="RUNNING")

    @property
    def id(self) -> str:
        """MLflow's id of the run."""
        return self._id

    def log(self, points: Sequence[Point]) -> None:
        """A metric for each value, but for those that are not numbers, which it refuses."""
        log_metrics(self.client, self._id, points)

    def rewind(self, *, step: int) -> None:
        """MLflow cannot take values back."""

    def end(self, *, state: str, is_finished: bool) -> None:
        """Write the state, and whether the run came to an end of its own."""
        self.client.set_tag(self._id, "state", state)
        status = "FINISHED" if is_finished else "KILLED"
        self.client.set_terminated(self._id, status=status, end_time=int(time.time() * 1000))

    def _find_experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self.client.create_experiment(name))

    def _create(self, run: TrackedRun, experiment_id: str) -> str:
        tags = {"group": run.group, "rand_init": str(run.rand_init), "experiment": run.experiment}
        made = self.client.create_run(experiment_id, run_name=run.name, tags=tags)
        log_params(self.client, made.info.run_id, run.params)
        return str(made.info.run_id)


def log_params(client: Any, run_id: str, params: Mapping[str, Any]) -> None:
    """Hyperparameters as text, cut where MLflow's limit is."""
    from mlflow.entities import Param

    named = [Param(name, str(value)[:MAX_LENGTH]) for name, value in params.items()]
    for chunk in split(named, MAX_PARAMS):
        client.log_batch(run_id, params=chunk)


def log_metrics(client: Any, run_id: str, points: Sequence[Point]) -> None:
    """Values that are numbers or infinite, with their steps and times.

    Dots stay in their names: as files, `loss` and `loss/predict` exclude each other.
    """
    from mlflow.entities import Metric

    metrics = [
        Metric(f"{point.split}/{name}", value, int(point.time * 1000), point.step)
        for point in points
        for name, value in point.values.items()
        if not math.isnan(value)
    ]
    for chunk in split(metrics, MAX_METRICS):
        client.log_batch(run_id, metrics=chunk)


def split(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size` items."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
