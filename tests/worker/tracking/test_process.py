"""Real trackers in real processes: what they have is what was recorded, and runs notice nothing."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import SPLITS, read_metrics
from hpcexp.store.status import State, read_status
from hpcexp.store.tracking import read_tracked
from hpcexp.template.track import VARIABLE
from hpcexp.worker.bundle import run_bundle
from hpcexp.worker.tracking import process
from tests.worker.conftest import ask_for, assert_equal_runs, list_runs, make_experiment
from tests.worker.tracking.offline import read_history, read_wandb

pytestmark = pytest.mark.filterwarnings("default")  # packages warn of each other's changes
GRID = {"lr": [0.001, 0.002]}  # two lanes
KINDS = ("tensorboard", "wandb", "mlflow")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCEXP_THREADS", "1")


def list_recorded(run_dir: RunDir, split: str, metric: str) -> list[tuple[int, float]]:
    table = read_metrics(run_dir.path)
    table = table.select(table.split == SPLITS.index(split))
    return list(zip(table.step.tolist(), table.column(metric).tolist(), strict=True))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDir:
    """Two runs, packed as lanes, that were interrupted and trained on, with all trackers."""
    directory = tmp_path_factory.mktemp("tracked")
    experiment = make_experiment(directory, grid=GRID, packing="lanes", eval_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPCEXP_THREADS", "1")
        patch.setenv(VARIABLE, ",".join(KINDS))
        patch.setenv("HPCEXP_CHECKPOINT_EVERY_S", "0")
        with pytest.MonkeyPatch.context() as interrupting:
            interrupt_in_second_epoch(interrupting)
            interrupting.setattr(process, "AFTER_A_SIGNAL_S", 60.0)
            run_bundle(experiment, "submission_001", 0)
        run_dirs = list_runs(experiment)
        assert State.INTERRUPTED in {read_status(run_dir).state for run_dir in run_dirs}
        for run_dir in run_dirs:
            ask_for(run_dir)
        run_bundle(experiment, "submission_001", 0)
    assert {read_status(run_dir).state for run_dir in run_dirs} == {State.COMPLETED}
    return experiment


def interrupt_in_second_epoch(patch: pytest.MonkeyPatch) -> None:
    from hpcexp.worker.sink import RunDirSink

    record = RunDirSink.record

    def interrupt(self: RunDirSink, rows: Any, progress: Any) -> None:
        record(self, rows, progress)
        if progress.step >= 7:
            self.stop.request(signal.SIGTERM)

    patch.setattr(RunDirSink, "record", interrupt)


def test_every_tracker_has_every_row_of_every_run(tracked: ExperimentDir) -> None:
    for run_dir in list_runs(tracked):
        for kind in KINDS:
            found = read_tracked(run_dir, kind)
            assert found.problem == ""
            assert (found.num_rows, found.num_lost) == (len(read_metrics(run_dir.path)), 0)


def test_tensorboard_reads_the_curves_of_both_attempts_under_the_names_of_the_runs(
    tracked: ExperimentDir,
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for run_dir in list_runs(tracked):
        for split in SPLITS:
            directory = tracked.tracking_dir("tensorboard") / run_dir.name / split
            events = accumulator.EventAccumulator(str(directory))
            events.Reload()
            found = [(e.step, e.value) for e in events.Scalars("loss")]
            assert found == list_recorded(run_dir, split, "loss")


def test_wandb_has_each_step_once_in_one_run_of_two_parts(tracked: ExperimentDir) -> None:
    pytest.importorskip("wandb")
    parts: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for file in sorted(tracked.tracking_dir("wandb").glob("wandb/offline-run-*/*.wandb")):
        (run, *_) = [record.run for record in read_wandb(file) if record.HasField("run")]
        parts.setdefault(run.display_name, {}).setdefault(run.run_id, []).extend(read_history(file))
    for run_dir in list_runs(tracked):
        (rows,) = parts[run_dir.name].values()  # one id
        found = [(row["step"], row["validate/loss"]) for row in rows if "validate/loss" in row]
        assert found == list_recorded(run_dir, "validate", "loss")
        assert [row["_step"] for row in rows] == [row["step"] for row in rows]


def test_mlflow_has_each_value_once_in_one_run(
    tracked: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(tracking_uri=tracked.tracking_dir("mlflow").as_uri())
    experiment = client.get_experiment_by_name(tracked.name)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 2
    for run_dir in list_runs(tracked):
        run = runs[run_dir.name]
        assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "completed")
        history = client.get_metric_history(run.info.run_id, "validate/loss")
        recorded = list_recorded(run_dir, "validate", "loss")
        assert [m.step for m in history] == [step for step, _ in recorded]
        assert [m.value for m in history] == pytest.approx([value for _, value in recorded])


def test_the_runs_are_the_same_as_without_trackers(
    tracked: ExperimentDir, tmp_path: Path, shared_data_cache: Path
) -> None:
    plain = make_experiment(tmp_path, grid=GRID, packing="lanes", eval_every=1)
    run_bundle(plain, "submission_001", 0)
    for run_dir, reference in zip(list_runs(tracked), list_runs(plain), strict=True):
        assert_equal_runs(run_dir, reference)
    assert not plain.tracking_dir("wandb").exists()


HANGS = """
import time
from hpcexp.worker.tracking import to_tensorboard
def hang(*_): time.sleep(600)
to_tensorboard.TensorboardTracker.__init__ = hang
"""
LACKS = """
import sys
sys.modules["wandb"] = None
"""


def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have the processes of trackers run this first."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nif 'hpcexp.worker.tracking' in sys.orig_argv:\n    exec({code!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("kind", "code", "problem"),
    [
        ("tensorboard", HANGS, "it did not end within 3 s"),
        ("wandb", LACKS, "wandb needs a package that is not installed"),
        ("tensorboard", "import os; os._exit(7)", "its process ended with 7"),
    ],
    ids=["hangs", "not installed", "dies"],
)
def test_a_tracker_that_fails_costs_no_run_and_is_told_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    code: str,
    problem: str,
) -> None:
    plant(tmp_path, monkeypatch, code)
    monkeypatch.setenv(VARIABLE, kind)
    monkeypatch.setattr(process, "END_WITHIN_S", 3.0 if code == HANGS else 60.0)
    experiment = make_experiment(tmp_path)
    with caplog.at_level(logging.WARNING, "hpcexp"):
        run_bundle(experiment, "submission_001", 0)
    (run_dir,) = list_runs(experiment)
    assert read_status(run_dir).state == State.COMPLETED
    num_rows = len(read_metrics(run_dir.path))
    (warning,) = [r.getMessage() for r in caplog.records]
    assert warning.startswith(f"{kind} lacks {num_rows} rows of 1 runs: {problem}")
    assert read_tracked(run_dir, kind).problem.startswith(problem)


def test_an_unknown_tracker_of_the_site_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "tensorbord")
    experiment = make_experiment(tmp_path)
    run_bundle(experiment, "submission_001", 0)
    assert read_status(list_runs(experiment)[0]).state == State.COMPLETED
    assert "no such tracker: tensorbord; did you mean tensorboard?" in caplog.text
