"""Real worker processes that are superseded, killed, stopped and asked to end."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.files import read_json
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.ownership import read_live_owner
from hpcexp.store.status import RunStatus, State, read_status
from hpcexp.worker.exit_codes import ASK_SLURM
from tests.worker.conftest import (
    LONG,
    Worker,
    ask_for,
    assert_equal_metrics,
    assert_equal_runs,
    list_hidden,
    list_runs,
    make_experiment,
    newest_step,
    supersede,
    take_snapshot,
    train_here,
)

StartWorker = Callable[..., Worker]
OFTEN_S = 0.05
NUM_STEPS = LONG["max_epoch"] * 5
ONE_EPOCH: dict[str, Any] = {"train_set_size": 800, "max_epoch": 1}  # of 200 steps


def wait_a_moment(run_dir: RunDir) -> None:
    """A random moment, to be caught in the middle of anything."""
    moment_s = random.uniform(0.0, 0.15)
    print(f"waiting {moment_s:.4f} s after step {newest_step(run_dir)}")
    time.sleep(moment_s)


# ------------------------------------------------------------------------------- superseded


def test_a_worker_that_is_superseded_within_an_epoch_ends_without_another_write(
    tmp_path: Path, workers: StartWorker
) -> None:
    experiment = make_experiment(tmp_path, **ONE_EPOCH)
    run_dir = list_runs(experiment)[0]
    worker = workers(experiment, checkpoint_every_s=OFTEN_S)
    worker.wait_until(lambda: newest_step(run_dir) > 5, "a few checkpoints")
    wait_a_moment(run_dir)
    before = supersede(run_dir)
    assert worker.join() == 0
    assert take_snapshot(run_dir.path) == before
    assert list_hidden(run_dir.path) == []
    assert {"owner.json", "status.json", "metrics.1.bin", "logs/attempt_1.log"} < set(before)
    assert read_status(run_dir).state == State.RUNNING
    assert 5 < newest_step(run_dir) < 200
    assert read_json(run_dir.owner_path)["id"] == "another attempt"
    assert "attempt 1 was superseded by" in worker.log
    assert "stopping without another write" in worker.log


def freeze_outside_of_the_lock(worker: Worker, run_dir: RunDir) -> None:
    """Stop a process, as a node that hangs would, at a moment in which it holds no lock."""
    while True:
        worker.send(signal.SIGSTOP)
        try:
            with FileLock(run_dir.lock_path, timeout=0.2):
                return
        except Timeout:
            worker.send(signal.SIGCONT)
            time.sleep(random.uniform(0.0, 0.02))


def test_a_worker_of_a_lost_node_that_comes_back_changes_nothing(
    tmp_path: Path,
    workers: StartWorker,
    long_reference: RunDir,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slurm restarts the job of a node that hangs; later the node goes on where it was."""
    experiment = make_experiment(tmp_path, **LONG)
    run_dir = list_runs(experiment)[0]
    lost = workers(experiment, checkpoint_every_s=OFTEN_S, SLURM_JOB_ID="77")
    lost.wait_until(lambda: newest_step(run_dir) > 5, "a checkpoint after the first epoch")
    wait_a_moment(run_dir)
    freeze_outside_of_the_lock(lost, run_dir)
    assert read_status(run_dir).state == State.RUNNING

    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    status = train_here(run_dir)
    assert (status.state, status.attempt) == (State.COMPLETED, 2)
    before = take_snapshot(run_dir.path)
    lost.send(signal.SIGCONT)
    assert lost.join() == 0
    assert take_snapshot(run_dir.path) == before
    assert list_hidden(run_dir.path) == []
    assert "attempt 1 was superseded by" in lost.log
    assert_equal_runs(run_dir, long_reference)


# ------------------------------------------------------------------------ killed and resumed


@dataclass
class Story:
    """A run that was asked to end, killed, and trained to its end, by a process each time."""

    run_dir: RunDir
    after_sigterm: RunStatus
    step_of_sigterm: int
    after_kill: RunStatus
    was_owned_after_kill: bool
    step_of_kill: int
    end: RunStatus


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, workers: StartWorker) -> Story:
    experiment = make_experiment(tmp_path_factory.mktemp("story"), **LONG)
    run_dir = list_runs(experiment)[0]

    worker = workers(experiment, checkpoint_every_s=OFTEN_S)
    worker.wait_until(lambda: newest_step(run_dir) > 0, "the first checkpoint")
    wait_a_moment(run_dir)
    worker.send(signal.SIGTERM)
    assert worker.join() == ASK_SLURM
    after_sigterm, step_of_sigterm = read_status(run_dir), newest_step(run_dir)

    worker = workers(experiment, checkpoint_every_s=OFTEN_S)
    worker.wait_until(lambda: newest_step(run_dir) > step_of_sigterm, "a checkpoint of its own")
    wait_a_moment(run_dir)
    worker.send(signal.SIGKILL)
    assert worker.join() == -signal.SIGKILL
    after_kill, step_of_kill = read_status(run_dir), newest_step(run_dir)
    was_owned = read_live_owner(run_dir) is not None

    worker = workers(experiment)
    assert worker.join() == 0
    return Story(
        run_dir,
        after_sigterm,
        step_of_sigterm,
        after_kill,
        was_owned,
        step_of_kill,
        read_status(run_dir),
    )


def test_sigterm_leaves_an_interrupted_run_with_a_checkpoint_of_its_last_step(
    story: Story,
) -> None:
    status = story.after_sigterm
    assert (status.state, status.attempt) == (State.INTERRUPTED, 1)
    assert 0 < status.step == story.step_of_sigterm < NUM_STEPS
    assert "SIGTERM" in status.reason
    assert status.ended is not None


def test_a_killed_worker_leaves_a_run_that_claims_to_be_running_and_has_no_owner(
    story: Story,
) -> None:
    assert (story.after_kill.state, story.after_kill.attempt) == (State.RUNNING, 2)
    assert not story.was_owned_after_kill
    assert story.step_of_sigterm < story.step_of_kill < NUM_STEPS


def test_every_attempt_continues_from_the_newest_checkpoint(story: Story) -> None:
    logs = [story.run_dir.log_path(attempt).read_text() for attempt in (1, 2, 3)]
    assert "continuing" not in logs[0]
    assert f"continuing from step {story.step_of_sigterm} (attempt_0001_" in logs[1]
    assert f"continuing from step {story.step_of_kill} (attempt_0002_" in logs[2]


def test_a_run_that_was_stopped_and_killed_ends_with_the_same_numbers_bit_for_bit(
    story: Story, long_reference: RunDir
) -> None:
    assert (story.end.state, story.end.attempt, story.end.step) == (State.COMPLETED, 3, NUM_STEPS)
    assert story.end.metrics == read_status(long_reference).metrics
    assert_equal_runs(story.run_dir, long_reference)


def test_a_killed_worker_leaves_nothing_behind_in_the_end(story: Story) -> None:
    assert len(list_checkpoints(story.run_dir)) <= 2
    assert list_hidden(story.run_dir.checkpoints_dir) == []
    assert [p.name for p in story.run_dir.path.glob("metrics.*")] == ["metrics.3.bin"]


# ----------------------------------------------------------------- a bundle of several runs


def test_a_run_that_fails_says_why_and_the_next_run_of_its_bundle_goes_on(
    tmp_path: Path, workers: StartWorker, reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path, grid={"rnn_width": [10**7, 6]})
    failing, good = list_runs(experiment)
    worker = workers(experiment)
    assert worker.join() == 0
    status = read_status(failing)
    assert (status.state, status.attempt) == (State.OUT_OF_MEMORY, 1)
    assert status.reason.startswith("out of memory of the host: ")
    assert "--mem-gb" in status.hint
    log = failing.log_path(1).read_text()
    assert "Traceback (most recent call last)" in log
    assert "RuntimeError" in log
    assert read_status(good).state == State.COMPLETED
    assert failing.name not in good.log_path(1).read_text()
    assert_equal_metrics(read_metrics(good.path), read_metrics(reference.path))

    before = take_snapshot(good.path)
    assert train_here(failing).attempt == 1
    ask_for(failing)
    assert train_here(failing).attempt == 2
    train_here(good)
    assert "Traceback" in failing.log_path(2).read_text()
    assert failing.log_path(1).read_text() == log
    assert take_snapshot(good.path) == before


def test_a_submission_that_is_not_there_is_an_error_in_a_line(
    tmp_path: Path, workers: StartWorker
) -> None:
    experiment = make_experiment(tmp_path)
    experiment.submission_path("submission_001").unlink()
    worker = workers(experiment)
    assert worker.join() == 1
    assert worker.log.strip().endswith("no such file; is this an experiment directory?")
    assert "Traceback" not in worker.log
