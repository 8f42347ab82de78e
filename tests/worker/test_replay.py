"""The step at which a run diverged happens again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from hpcexp.errors import UsageError
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.layout import RunDir
from hpcexp.store.status import read_status, write_status
from hpcexp.train.checkpoint import read_checkpoint, write_checkpoint
from hpcexp.worker.replay import replay_run
from tests.worker.conftest import make_run, take_snapshot, train_here


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that became NaN, with batch norm, whose buffers a step changes."""
    torch.set_num_threads(1)
    run_dir = make_run(tmp_path_factory.mktemp("diverged"), lr=1e30, encoder_batch_norm=True)
    train_here(run_dir)
    return run_dir


@pytest.fixture
def diverged(original: RunDir, tmp_path: Path) -> RunDir:
    """A copy that a test may change."""
    shutil.copytree(original.experiment.path, tmp_path / "copy")
    return RunDir(tmp_path / "copy" / "runs" / original.name)


def change_record(run_dir: RunDir, *, drop: tuple[str, ...] = (), **changes: Any) -> None:
    record = read_checkpoint(run_dir.forensics_path) | changes
    write_checkpoint(run_dir.forensics_path, {k: v for k, v in record.items() if k not in drop})


def test_it_happens_again_in_the_same_place_with_the_same_numbers(original: RunDir) -> None:
    before = take_snapshot(original.path)
    replayed = replay_run(original, device="cpu")
    assert replayed.happened_again
    assert replayed.has_same_place
    assert replayed.has_same_numbers
    assert (replayed.step, replayed.dtype) == (read_status(original).step, "float32")
    assert replayed.lr == pytest.approx(1e30)
    summary = json.loads(original.divergence_path.read_text())
    first = replayed.examination.first
    assert first is not None
    assert first.module == summary["first"]["module"]
    assert take_snapshot(original.path) == before


def test_an_explosion_happens_again(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, grad_explosion=0.01)
    train_here(run_dir)
    replayed = replay_run(run_dir, device="cpu")
    assert replayed.happened_again
    assert replayed.has_same_numbers
    assert replayed.examination.first is not None
    assert replayed.examination.first.describe() in read_status(run_dir).reason


def test_samples_and_random_numbers_that_were_left_out_are_made_again(diverged: RunDir) -> None:
    change_record(diverged, drop=("batch", "noise"), left_out=["inputs"])
    replayed = replay_run(diverged, device="cpu")
    assert replayed.has_same_place
    assert replayed.has_same_numbers


def test_a_state_that_was_left_out_is_taken_from_the_last_checkpoint(diverged: RunDir) -> None:
    change_record(diverged, drop=("state",), left_out=["state"])
    assert replay_run(diverged, device="cpu").has_same_numbers
    for path in list_checkpoints(diverged):
        path.unlink()
    with pytest.raises(UsageError, match="too large to be recorded, and no checkpoint holds it"):
        replay_run(diverged)


def test_a_state_that_is_finite_does_not_diverge_again(diverged: RunDir) -> None:
    state = read_checkpoint(diverged.forensics_path)["state"]
    tame = {name: 0.1 * torch.ones_like(t) for name, t in state["parameters"].items()}
    change_record(diverged, state=state | {"parameters": tame})
    replayed = replay_run(diverged, device="cpu")
    assert not replayed.happened_again
    assert not replayed.has_same_numbers
    assert replayed.examination.first is None


def test_a_run_that_did_not_diverge_has_nothing_to_replay(reference: RunDir) -> None:
    with pytest.raises(UsageError, match="nothing to replay: it is completed, and no step"):
        replay_run(reference)


def test_a_damaged_record_is_said_to_be_one(diverged: RunDir) -> None:
    content = diverged.forensics_path.read_bytes()
    diverged.forensics_path.write_bytes(content[:-200])
    with pytest.raises(UsageError, match=r"not a whole checkpoint.*the step cannot be replayed"):
        replay_run(diverged)


def test_a_record_of_another_model_is_refused(diverged: RunDir) -> None:
    config = json.loads(diverged.config_path.read_text())
    config["params"]["rnn_width"] = 9
    diverged.config_path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"parameters are of another model \(dynamics\."):
        replay_run(diverged)


def test_without_its_summary_the_place_is_not_compared(diverged: RunDir) -> None:
    diverged.divergence_path.unlink()
    replayed = replay_run(diverged, device="cpu")
    assert replayed.happened_again
    assert replayed.recorded_first == ""


def test_the_cpu_uses_as_many_threads_as_the_run_did(diverged: RunDir) -> None:
    status = read_status(diverged)
    write_status(diverged, status.replace(machine={**status.machine, "num_threads": 2}))
    replay_run(diverged, device="cpu")
    assert torch.get_num_threads() == 2


def test_a_device_that_is_not_there_is_refused(original: RunDir) -> None:
    with pytest.raises(UsageError, match="--device warp: not on this machine"):
        replay_run(original, device="warp")
