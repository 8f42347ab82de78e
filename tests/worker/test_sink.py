from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path

import pytest
import torch

from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.ownership import acquire, read_silence_s
from hpcexp.store.status import RunStatus, State, read_status
from hpcexp.train import checkpoint as checkpoint_module
from hpcexp.train.checkpoint import DamagedCheckpointError, read_checkpoint, write_checkpoint
from hpcexp.train.sink import Checkpoint, Progress, Row
from hpcexp.worker import sink as sink_module
from hpcexp.worker.attempt import CHECKPOINT_VARIABLE
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.sink import RunDirSink, describe_progress
from tests.worker.conftest import InterruptAfter, make_run, train_here


@pytest.fixture
def sink(tmp_path: Path) -> RunDirSink:
    """The sink of a first attempt that has just begun."""
    (tmp_path / "run").mkdir()
    ownership = acquire(RunDir(tmp_path / "run"))
    sink = RunDirSink(ownership, status=RunStatus(State.RUNNING), interruption=Interruption())
    sink.start(["loss"], resume_step=None)
    return sink


def record(sink: RunDirSink, *, step: int, loss: float) -> None:
    row = Row(epoch=step, step=step, split="validate", values={"loss": loss})
    sink.record([row], Progress(epoch=step, num_epochs=9, step=step, num_steps=9))


def test_the_first_rows_are_on_disk_at_once_and_later_ones_wait_for_company(
    sink: RunDirSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(sink, step=1, loss=0.5)
    assert len(read_metrics(sink.run_dir.path)) == 1
    sink.next_status = 0.0
    record(sink, step=2, loss=0.4)
    assert len(read_metrics(sink.run_dir.path)) == 1
    sink.next_status = sink.next_flush = 0.0
    record(sink, step=3, loss=0.3)
    assert len(read_metrics(sink.run_dir.path)) == 3


def test_the_rows_before_a_checkpoint_are_on_disk_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path)
    steps: list[tuple[int, int]] = []

    def note_and_write(path: Path, checkpoint: Checkpoint) -> None:
        rows = read_metrics(run_dir.path).step
        steps.append((checkpoint["step"], int(rows.max()) if len(rows) else -1))
        write_checkpoint(path, checkpoint)

    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    monkeypatch.setattr(checkpoint_module, "write_checkpoint", note_and_write)
    train_here(run_dir, InterruptAfter(12))
    assert steps == [(step, step // 5 * 5) for step in [*range(1, 13), 12]]


def test_a_value_that_is_not_finite_is_null_in_the_status(sink: RunDirSink) -> None:
    record(sink, step=1, loss=math.nan)
    assert json.loads(sink.run_dir.status_path.read_text())["metrics"] == {"loss": None}


def test_writing_the_status_shows_life(sink: RunDirSink, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(sink.run_dir.owner_path, (1.0, 1.0))
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    assert read_silence_s(sink.run_dir, sink.ownership.owner) > 1e6
    sink.write_status()
    assert read_silence_s(sink.run_dir, sink.ownership.owner) < 1e6


def test_the_status_is_written_now_and_then_and_after_the_last_step(
    sink: RunDirSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "STATUS_EVERY_S", 1e6)
    for step, written in ((1, 1), (2, 1), (9, 9)):
        record(sink, step=step, loss=0.5)
        assert read_status(sink.run_dir).step == written


def test_a_checkpoint_of_another_seed_is_refused_in_words(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    train_here(run_dir, InterruptAfter(3))
    path = list_checkpoints(run_dir)[0]
    write_checkpoint(path, {**read_checkpoint(path), "seed": 5})
    status = train_here(run_dir)
    assert status.state == State.FAILED
    assert status.reason == ("the checkpoint is of another run: its seed is 5, this run's is 0")


def test_damage_anywhere_in_a_checkpoint_is_seen_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    write_checkpoint(path, {"state": {"w": torch.rand(50), "b": torch.rand(3)}, "step": 7})
    whole = path.read_bytes()
    chance, outcomes = random.Random(1), set()
    for _ in range(1000):
        content = bytearray(whole)
        start, length = chance.randrange(len(whole)), chance.choice([1, 4, 40])
        content[start : start + length] = chance.randbytes(length)
        path.write_bytes(content)
        try:
            outcomes.add(read_checkpoint(path)["step"])  # bytes of padding may be anything
        except DamagedCheckpointError:
            outcomes.add("damaged")
    assert outcomes == {7, "damaged"}


def test_a_checkpoint_that_the_file_system_does_not_give_is_not_taken_for_damaged(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "c.pt")


def test_progress_is_described_in_a_line() -> None:
    status = RunStatus(
        epoch=2,
        num_epochs=9,
        step=20,
        num_steps=90,
        trained_s=0.05,
        metrics={"loss": 0.123456, "mse": None},
    )
    assert describe_progress(status) == "epoch 2/9  step 20/90  2.5 ms/step  loss 0.1235"
