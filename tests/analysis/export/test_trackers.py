"""What TensorBoard, Weights & Biases and MLflow read is what was recorded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hpcexp.analysis import Results
from hpcexp.analysis.export.runs import iter_runs
from hpcexp.analysis.export.write import write_export
from hpcexp.worker.tracking.rows import flatten, iter_points, make_tag
from tests.analysis.builder import MSE
from tests.analysis.export.conftest import DIVERGED, GOOD
from tests.worker.tracking.offline import read_history, read_wandb

# These packages warn of each other's changes.
pytestmark = pytest.mark.filterwarnings("default")


def list_recorded(results: Results, run: str, split: str, metric: str) -> list[tuple[int, float]]:
    rows = results.metrics[(results.metrics["run"] == run) & (results.metrics["split"] == split)]
    return list(zip(rows["step"].tolist(), rows[metric].tolist(), strict=True))


def test_points_have_the_metrics_of_their_split(results: Results) -> None:
    run = next(iter_runs(results))
    points = list(iter_points(run.table))
    assert [p.step for p in points if p.split == "validate"] == [0, 8, 16, 24, 32]
    assert all((MSE in p.values) == (p.split == "validate") for p in points)
    assert run.final[MSE] == 0.25
    assert run.params == {"vae_channels": [2]}


def test_hyperparameters_have_dotted_names() -> None:
    params = {"a": {"b": {"c": 1}, "d": [2]}, "e": {}}
    assert dict(flatten(params)) == {"a.b.c": 1, "a.d": [2], "e": {}}
    assert make_tag("loss.predict.image") == "loss/predict.image"


def test_tensorboard_reads_the_curves_and_the_hyperparameters(
    results: Results, tmp_path: Path
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    path = write_export(results, "tensorboard", directory=tmp_path)

    def read(*parts: str) -> Any:
        events = accumulator.EventAccumulator(str(path.joinpath(*parts)))
        events.Reload()
        return events

    validate = read(GOOD, "validate")
    assert [(e.step, e.value) for e in validate.Scalars(MSE)] == list_recorded(
        results, GOOD, "validate", MSE
    )
    assert "loss/predict.image" in validate.Tags()["scalars"]
    assert "grad_norm" in read(GOOD, "train").Tags()["scalars"]
    assert validate.Scalars(MSE)[1].wall_time == 1.0e9 + 1
    (content,) = read(DIVERGED).summary_metadata.values()
    session = HParamsPluginData.FromString(content.plugin_data.content).session_start_info
    assert session.hparams["vae_channels"].string_value == "[4, 8]"
    assert session.hparams["rand_init"].number_value == 0


def test_wandb_keeps_offline_runs_that_it_can_send_later(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    path = write_export(results, "wandb", directory=tmp_path)
    groups, logged = {}, {}
    for file in path.glob("wandb/offline-run-*/*.wandb"):
        records = list(read_wandb(file))
        (run,) = [record.run for record in records if record.HasField("run")]
        groups[run.display_name] = run.run_group
        logged[run.display_name] = read_history(file)
    assert groups == {GOOD: "vae_channels=+2", DIVERGED: "vae_channels=+4+8"}
    name = f"validate/{MSE}"
    found = [(row["step"], row[name]) for row in logged[GOOD] if name in row]
    assert found == list_recorded(results, GOOD, "validate", MSE)


def test_mlflow_finds_the_runs_in_its_database(results: Results, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    path = write_export(results, "mlflow", directory=tmp_path)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}/mlflow.db")
    experiment = client.get_experiment_by_name(results.experiment.name)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {GOOD, DIVERGED}
    assert runs[GOOD].data.params == {"vae_channels": "[2]"}
    assert runs[GOOD].data.tags["group"] == "vae_channels=+2"
    assert runs[GOOD].data.metrics[f"final/{MSE}"] == 0.25
    assert runs[DIVERGED].data.metrics[f"final/{MSE}"] > 1e300  # as databases spell infinity
    history = client.get_metric_history(runs[GOOD].info.run_id, f"validate/{MSE}")
    assert sorted((m.step, m.value) for m in history) == list_recorded(
        results, GOOD, "validate", MSE
    )
    assert not math.isnan(runs[DIVERGED].data.metrics["train/loss"])
