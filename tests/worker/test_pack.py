"""Runs of one job that are trained at the same time: each has its own directory and its own end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcexp.cli.status_view import describe_packings
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.packing import read_packings
from hpcexp.store.status import State, read_status
from hpcexp.worker.bundle import run_bundle
from hpcexp.worker.exit_codes import ASK_SLURM
from hpcexp.worker.packing import find_lane_keys, make_packs
from tests.worker.conftest import LONG, Worker, list_runs, make_experiment
from tests.workloads.multitask.conftest import TINY as TINY_MULTITASK

GRID: dict[str, list[Any]] = {"lr": [1e-3, 1e-2], "rnn_width": [6, 8]}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCEXP_THREADS", "1")


def read_states(experiment: ExperimentDir) -> list[State]:
    return [read_status(run).state for run in list_runs(experiment)]


def assert_close_to(one: RunDir, other: RunDir) -> None:
    table, same = read_metrics(one.path), read_metrics(other.path)
    assert table.columns == same.columns
    assert (table.step == same.step).all()
    np.testing.assert_allclose(table.values, same.values, rtol=2e-3, atol=1e-5)


def test_runs_of_one_shape_go_together_and_packs_are_of_one_length() -> None:
    names = [f"{shape}{i}" for i in range(5) for shape in "ab"]
    assert make_packs(names, packing="none", size=3, key_of=str) == [[name] for name in names]
    packs = make_packs(names, packing="lanes", size=3, key_of=lambda name: name[0])
    assert packs == [["a0", "a1"], ["a2", "a3", "a4"], ["b0", "b1"], ["b2", "b3", "b4"]]
    assert [len(p) for p in make_packs(names, packing="processes", size=4, key_of=str)] == [3, 3, 4]


def test_a_learning_rate_may_differ_between_lanes_and_a_width_may_not(tmp_path: Path) -> None:
    experiment = make_experiment(tmp_path, grid=GRID)
    names = [run.name for run in list_runs(experiment)]
    packs = make_packs(names, packing="lanes", size=8, key_of=find_lane_keys(experiment))
    assert [{name.partition("rnn_width=")[2] for name in pack} for pack in packs] == [
        {"6_rand_0"},
        {"8_rand_0"},
    ]
    assert [len(pack) for pack in packs] == [2, 2]


@pytest.mark.parametrize("packing", ["lanes", "processes"])
def test_packed_runs_end_as_they_do_alone(tmp_path: Path, packing: str) -> None:
    solo = make_experiment(tmp_path / "solo", grid=GRID)
    run_bundle(solo, "submission_001", 0)
    packed = make_experiment(tmp_path / "packed", grid=GRID, packing=packing)
    end = run_bundle(packed, "submission_001", 0)
    assert (end.interruption.signal, end.unwritten, any(end.exit_codes)) == (None, [], False)
    assert read_states(packed) == [State.COMPLETED] * 4
    for run, alone in zip(list_runs(packed), list_runs(solo), strict=True):
        assert_close_to(run, alone)
        log = run.log_path(1).read_text()
        others = {other.name for other in list_runs(packed)} - {run.name}
        assert log.count(f"{run.name}, attempt 1") == 1
        assert not any(name in log for name in others)
        assert "completed after" in log


def test_a_cancelled_lane_ends_alone(tmp_path: Path) -> None:
    experiment = make_experiment(tmp_path, grid={"lr": [1e-3, 1e-2]}, packing="lanes", **LONG)
    first = list_runs(experiment)[0]
    first.cancel_path.touch()
    run_bundle(experiment, "submission_001", 0)
    assert read_states(experiment) == [State.CANCELLED, State.COMPLETED]
    assert read_status(first).reason == "cancelled by the user"


def test_a_lane_that_fails_leaves_the_others(tmp_path: Path) -> None:
    experiment = make_experiment(tmp_path, grid={"lr": [1e-3, 1e-2, 1e-1]}, packing="lanes")
    middle = list_runs(experiment)[1]
    text = middle.config_path.read_text()
    middle.config_path.write_text(text.replace('"rand_init": 0', "broken"))
    run_bundle(experiment, "submission_001", 0)
    states = read_states(experiment)
    assert states[0] == states[2] == State.COMPLETED
    assert states[1] == State.FAILED


def test_a_pack_that_is_interrupted_goes_on_lane_by_lane(tmp_path: Path) -> None:
    """In another packing, too."""
    grid = {"lr": [1e-3, 1e-2, 2e-2]}
    solo = make_experiment(tmp_path / "solo", grid=grid, **LONG)
    run_bundle(solo, "submission_001", 0)
    packed = make_experiment(tmp_path / "packed", grid=grid, packing="lanes", **LONG)
    worker = Worker(
        ["-m", "hpcexp.worker", str(packed.path), "submission_001", "0"],
        log_path=tmp_path / "log",
        environment={},
    )
    runs = list_runs(packed)
    worker.wait_until(lambda: all(read_status(run).step > 0 for run in runs), "its first steps")
    worker.send(signal.SIGTERM)
    assert worker.join() == ASK_SLURM
    assert read_states(packed) == [State.INTERRUPTED] * 3
    assert all(list_checkpoints(run) for run in runs)
    run_bundle(packed, "submission_001", 0, only=[runs[0].name])
    run_bundle(packed, "submission_001", 0)
    assert read_states(packed) == [State.COMPLETED] * 3
    for run, alone in zip(runs, list_runs(solo), strict=True):
        assert read_status(run).attempt == 2
        assert_close_to(run, alone)


def test_the_node_chooses_writes_down_why_and_status_tells(tmp_path: Path) -> None:
    """A real probe; whatever it finds best, the runs have the numbers that they have alone."""
    solo = make_experiment(tmp_path / "solo", grid={"lr": [1e-3, 1e-2, 2e-2]})
    run_bundle(solo, "submission_001", 0)
    packed = make_experiment(tmp_path / "packed", grid={"lr": [1e-3, 1e-2, 2e-2]}, packing="auto")
    run_bundle(packed, "submission_001", 0)
    assert read_states(packed) == [State.COMPLETED] * 3
    for run, alone in zip(list_runs(packed), list_runs(solo), strict=True):
        assert_close_to(run, alone)
    (record,) = read_packings(packed)
    assert record.runs == tuple(run.name for run in list_runs(packed))
    counts = [measured["num_lanes"] for measured in record.measured]
    assert counts[0] == 1
    assert record.num_lanes in {*counts, 2}  # two rounds of two where two were best
    assert record.num_processes == 1
    assert record.base_bytes + record.lane_bytes > 50e6  # torch alone needs more
    lanes = {read_status(run).machine["lanes"] for run in list_runs(packed)}
    assert max(lanes) == record.num_lanes
    assert describe_packings(packed) == [f"packing: {record.why}"]
    run_bundle(packed, "submission_001", 0)  # a job that is started again has nothing to probe
    assert read_packings(packed) == [record]


def make_pcgrad(directory: Path, packing: str) -> ExperimentDir:
    """Two runs of a strategy that cannot be mapped over lanes."""
    params = {**TINY_MULTITASK, "max_step": 2, "combine": "pcgrad"}
    return make_experiment(
        directory, grid={"lr": [1e-3, 1e-2]}, packing=packing, workload="multitask", **params
    )


def test_what_cannot_be_lanes_is_trained_in_processes_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HPCEXP_THREADS", "2")
    experiment = make_pcgrad(tmp_path, "lanes")
    end = run_bundle(experiment, "submission_001", 0)
    assert (read_states(experiment), end.exit_codes) == ([State.COMPLETED] * 2, [0, 0])
    assert "2 runs in 2 processes: combine pcgrad cannot be mapped over lanes" in caplog.text
    assert len({read_status(run).pid for run in list_runs(experiment)}) == 2


def test_lanes_that_fail_as_such_go_on_in_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator without a batching rule is found out at the first step only."""

    def refuse(*_: object) -> None:
        raise RuntimeError("Batching rule not implemented for aten::_thnn_fused_gru_cell")

    monkeypatch.setenv("HPCEXP_THREADS", "2")
    monkeypatch.setattr("hpcexp.train.step.StepFunction.step_lanes", refuse)
    experiment = make_experiment(tmp_path, grid={"lr": [1e-3, 1e-2]}, packing="lanes")
    end = run_bundle(experiment, "submission_001", 0)
    assert (read_states(experiment), end.exit_codes) == ([State.COMPLETED] * 2, [0, 0])
    for run in list_runs(experiment):
        assert read_status(run).attempt == 2
        assert "Batching rule not implemented" in run.log_path(1).read_text()


def test_a_signal_reaches_every_process(tmp_path: Path) -> None:
    grid = {"lr": [1e-3, 1e-2, 2e-2]}
    packed = make_experiment(tmp_path, grid=grid, packing="processes", max_epoch=4000)
    worker = Worker(
        ["-m", "hpcexp.worker", str(packed.path), "submission_001", "0"],
        log_path=tmp_path / "log",
        environment={},
    )
    runs = list_runs(packed)
    worker.wait_until(lambda: all(read_status(run).step > 0 for run in runs), "its first steps")
    assert len({read_status(run).pid for run in runs}) == 3
    worker.send(signal.SIGTERM)
    assert worker.join() == ASK_SLURM
    assert read_states(packed) == [State.INTERRUPTED] * 3
