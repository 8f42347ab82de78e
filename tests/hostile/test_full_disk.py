"""A run on a disk that is full for a while goes on; on one that stays full it can be resumed."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hpcexp.launch.observe import observe
from hpcexp.launch.suggest import find_evidence
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.status import State, read_status
from hpcexp.worker.exit_codes import UNWRITTEN
from hpcexp.worker.patience import PATIENCE_VARIABLE
from tests.hostile.surroundings import (
    can_forbid_syncing,
    fill,
    forbid_syncing,
    overcommitted_disk,
    tmpfs,
)
from tests.worker.conftest import (
    LONG,
    Worker,
    ask_for,
    assert_equal_runs,
    list_runs,
    make_experiment,
    newest_step,
    train_here,
)

StartWorker = Callable[..., Worker]
OFTEN_S = 0.05
NUM_STEPS = LONG["max_epoch"] * 5


def start_and_wait(
    workers: StartWorker, experiment: ExperimentDir, *, patience_s: float
) -> tuple[Worker, RunDir]:
    """A worker that has made a checkpoint, and stands still until `SIGCONT`."""
    run_dir = list_runs(experiment)[0]
    environment = {PATIENCE_VARIABLE: str(patience_s)}
    worker = workers(experiment, checkpoint_every_s=OFTEN_S, **environment)
    worker.wait_until(lambda: newest_step(run_dir) > 5, "the first checkpoints")
    worker.send(signal.SIGSTOP)
    return worker, run_dir


def test_a_run_whose_disk_is_full_for_a_moment_goes_on_in_the_same_attempt(
    tmp_path: Path, workers: StartWorker, long_reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path, **LONG)
    with tmpfs(list_runs(experiment)[0].path):
        worker, run_dir = start_and_wait(workers, experiment, patience_s=60)
        filler = fill(run_dir.path)
        worker.send(signal.SIGCONT)
        worker.wait_until(lambda: "trying again" in worker.log, "the disk to be noticed")
        time.sleep(0.5)
        filler.unlink()
        assert worker.join() == 0
        status = read_status(run_dir)
        assert (status.state, status.attempt, status.step) == (State.COMPLETED, 1, NUM_STEPS)
        assert "No space left on device; make room there" in worker.log
        assert "going on after" in worker.log
        assert "Traceback" not in worker.log
        assert_equal_runs(run_dir, long_reference)


def test_a_run_whose_disk_stays_full_says_so_and_is_resumed_to_the_same_numbers(
    tmp_path: Path, workers: StartWorker, long_reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path, **LONG)
    with tmpfs(list_runs(experiment)[0].path):
        worker, run_dir = start_and_wait(workers, experiment, patience_s=0.5)
        filler = fill(run_dir.path)
        worker.send(signal.SIGCONT)
        assert worker.join() == UNWRITTEN
        assert "how it ended could not be written down" in worker.log
        assert "No space left on device; make room there" in worker.log
        assert "Traceback" not in worker.log
        observed = observe(experiment)
        assert observed.statuses[run_dir.name].state == State.LOST
        filler.unlink()
        assert workers(experiment).join() == 0
        status = read_status(run_dir)
        assert (status.state, status.attempt) == (State.COMPLETED, 2)
        assert_equal_runs(run_dir, long_reference)


def test_where_only_a_checkpoint_does_not_fit_the_status_names_it(
    tmp_path: Path, workers: StartWorker, long_reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path, **LONG)
    with tmpfs(list_runs(experiment)[0].path):
        worker, run_dir = start_and_wait(workers, experiment, patience_s=0.5)
        filler = fill(run_dir.path, spare_bytes=28_000)  # a checkpoint has 60 kB
        worker.send(signal.SIGCONT)
        assert worker.join() == 0
        status = read_status(run_dir)
        assert status.state == State.FAILED
        assert status.reason.startswith("No space left on device (")
        assert "/checkpoints/" in status.reason
        assert "hpcexp resume" in status.hint
        observed = observe(experiment)
        assert any("No space left" in line for line in find_evidence(observed, run_dir.name))
        filler.unlink()
        ask_for(run_dir)
        assert workers(experiment).join() == 0
        assert_equal_runs(run_dir, long_reference)


def test_a_disk_that_takes_writes_and_refuses_to_sync_them_loses_nothing(
    tmp_path: Path, workers: StartWorker, long_reference: RunDir
) -> None:
    experiments_dir = tmp_path / "disk"
    with overcommitted_disk(experiments_dir, backing_dir=tmp_path / "backing"):
        experiment = make_experiment(experiments_dir, **LONG)
        worker, run_dir = start_and_wait(workers, experiment, patience_s=60)
        filler = fill(tmp_path / "backing")
        worker.send(signal.SIGCONT)
        worker.wait_until(lambda: "trying again" in worker.log, "the disk to be noticed")
        time.sleep(0.5)
        filler.unlink()
        assert worker.join() == 0
        assert read_status(run_dir).attempt == 1
        assert_equal_runs(run_dir, long_reference)


@can_forbid_syncing
def test_a_quota_that_is_used_up_is_named_and_the_run_is_resumable(
    tmp_path: Path, workers: StartWorker, reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path)
    run_dir = list_runs(experiment)[0]
    worker = workers(
        experiment,
        before_exec=partial(forbid_syncing, errno.EDQUOT),
        **{PATIENCE_VARIABLE: "0"},
    )
    assert worker.join() == UNWRITTEN
    assert "Disk quota exceeded; make room there, or ask for a larger quota" in worker.log
    assert "Traceback" not in worker.log
    assert read_status(run_dir).state == State.PENDING
    status = train_here(run_dir)
    assert status.state == State.COMPLETED
    assert_equal_runs(run_dir, reference)
