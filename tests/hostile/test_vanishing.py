"""A file system that goes away while a run trains, and comes back."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import StorageError, SupersededError
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.ownership import acquire
from hpcexp.store.status import State, read_status
from hpcexp.worker import patience as patience_module
from hpcexp.worker.attempt import CHECKPOINT_VARIABLE
from hpcexp.worker.exit_codes import ASK_SLURM, UNWRITTEN
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.patience import PATIENCE_VARIABLE, Patience
from tests.hostile.surroundings import is_mounted, mount, unmount
from tests.worker.conftest import (
    LONG,
    Worker,
    assert_equal_runs,
    list_runs,
    make_experiment,
    make_run,
    newest_step,
    supersede,
    train_here,
)

StartWorker = Callable[..., Worker]


@contextmanager
def mounted_experiment(directory: Path, **params: Any) -> Iterator[tuple[ExperimentDir, Path]]:
    """An experiment that is reached through a mount point, and the mount point."""
    made = make_experiment(directory / "server", **params)
    client = directory / "client"
    client.mkdir()
    mount("--bind", directory / "server", client)
    try:
        yield ExperimentDir(client / "experiments" / made.name), client
    finally:
        if is_mounted(client):
            unmount(client)


def start_and_wait(
    workers: StartWorker, experiment: ExperimentDir, log_dir: Path, *, patience_s: float
) -> Worker:
    run_dir = list_runs(experiment)[0]
    environment = {PATIENCE_VARIABLE: str(patience_s)}
    worker = workers(experiment, log_dir=log_dir, checkpoint_every_s=0.05, **environment)
    worker.wait_until(lambda: newest_step(run_dir) > 5, "the first checkpoints")
    return worker


def test_a_run_waits_for_a_file_system_that_comes_back_and_goes_on(
    tmp_path: Path, workers: StartWorker, long_reference: RunDir
) -> None:
    with mounted_experiment(tmp_path, **LONG) as (experiment, client):
        worker = start_and_wait(workers, experiment, tmp_path, patience_s=60)
        unmount(client)
        worker.wait_until(lambda: "trying again" in worker.log, "the loss to be noticed")
        time.sleep(1.0)
        assert list(client.iterdir()) == [], "something was made in the bare mount point"
        mount("--bind", tmp_path / "server", client)
        assert worker.join() == 0
        run_dir = list_runs(experiment)[0]
        status = read_status(run_dir)
        assert (status.state, status.attempt) == (State.COMPLETED, 1)
        assert "superseded" not in worker.log
        assert "Traceback" not in worker.log
        assert_equal_runs(run_dir, long_reference)


def test_a_run_whose_file_system_stays_away_ends_in_words_and_is_resumable(
    tmp_path: Path, workers: StartWorker, long_reference: RunDir
) -> None:
    with mounted_experiment(tmp_path, **LONG) as (experiment, client):
        worker = start_and_wait(workers, experiment, tmp_path, patience_s=0.5)
        unmount(client)
        assert worker.join() == UNWRITTEN
        assert "has vanished; mount the file system again" in worker.log
        assert "Traceback" not in worker.log
        assert list(client.iterdir()) == []
        mount("--bind", tmp_path / "server", client)
        assert workers(experiment, log_dir=tmp_path).join() == 0
        run_dir = list_runs(experiment)[0]
        assert read_status(run_dir).attempt == 2
        assert_equal_runs(run_dir, long_reference)


def test_a_run_that_is_asked_to_stop_while_it_waits_leaves_in_time_to_be_started_again(
    tmp_path: Path, workers: StartWorker
) -> None:
    with mounted_experiment(tmp_path, **LONG) as (experiment, client):
        worker = start_and_wait(workers, experiment, tmp_path, patience_s=600)
        unmount(client)
        worker.wait_until(lambda: "trying again" in worker.log, "the loss to be noticed")
        worker.send(signal.SIGTERM)
        assert worker.join() == ASK_SLURM


def test_a_job_that_starts_before_its_file_system_is_mounted_waits_for_it(
    tmp_path: Path, workers: StartWorker, reference: RunDir
) -> None:
    with mounted_experiment(tmp_path) as (experiment, client):
        unmount(client)
        worker = workers(experiment, log_dir=tmp_path, **{PATIENCE_VARIABLE: "60"})
        worker.wait_until(lambda: "trying again" in worker.log, "the loss to be noticed")
        mount("--bind", tmp_path / "server", client)
        assert worker.join() == 0
        assert_equal_runs(list_runs(experiment)[0], reference)


# ------------------------------------------------ errors of a file server, call by call

NUMBERS = (errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.ETIMEDOUT)


class FlakyServer:
    """Lets calls of this process fail in bursts, as a server that is overloaded does."""

    def __init__(self, patch: pytest.MonkeyPatch, run_dir: Path, *, seed: int) -> None:
        self.random, self.run_dir = random.Random(seed), str(run_dir)
        self.left, self.num_faults = 0, 0
        for name in ("fsync", "pwrite", "replace", "utime", "open", "mkdir", "listdir"):
            patch.setattr(os, name, self.wrap(getattr(os, name)))

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def fail_or_call(*arguments: Any, **options: Any) -> Any:
            if self.is_ours(arguments[0]):
                self.maybe_fail()
            return call(*arguments, **options)

        return fail_or_call

    def is_ours(self, where: Any) -> bool:
        if isinstance(where, int):
            where = Path(f"/proc/self/fd/{where}").readlink()
        return str(where).startswith(self.run_dir)

    def maybe_fail(self) -> None:
        if self.left == 0 and self.random.random() < 0.03:
            self.left = self.random.choice([1, 1, 2, 5])
        if self.left:
            self.left -= 1
            self.num_faults += 1
            number = self.random.choice(NUMBERS)
            raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("seed", range(4))
def test_bursts_of_errors_anywhere_neither_end_a_run_nor_change_its_numbers(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: RunDir
) -> None:
    """Injected between Python and the system: such errors cannot be had on demand."""
    monkeypatch.setenv(PATIENCE_VARIABLE, "60")
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    monkeypatch.setattr(patience_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(patience_module, "LONGEST_PAUSE_S", 0.01)
    run_dir = make_run(tmp_path)
    with monkeypatch.context() as patch:
        server = FlakyServer(patch, run_dir.path, seed=seed)
        train_here(run_dir)
    status = read_status(run_dir)
    assert (status.state, status.attempt) == (State.COMPLETED, 1), status
    assert server.num_faults > 10
    assert_equal_runs(run_dir, reference)


# -------------------------------------------------------------------------- how long it waits


def make_patience(place: Path, limit_s: float = 60.0) -> Patience:
    return Patience(place, Interruption(), limit_s=limit_s)


def test_errors_that_no_waiting_mends_are_raised_at_once(tmp_path: Path) -> None:
    def fail() -> None:
        raise FileExistsError(errno.EEXIST, "File exists", "a")

    with pytest.raises(FileExistsError):
        make_patience(tmp_path)(fail)


def test_a_missing_permission_is_waited_for_only_where_something_could_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience_module, "FIRST_PAUSE_S", 0.001)
    answers = [PermissionError(errno.EACCES, "Permission denied", "a"), None]

    def fail_once() -> str:
        if error := answers.pop(0):
            raise error
        return "done"

    assert make_patience(tmp_path)(fail_once) == "done"
    answers[:] = [PermissionError(errno.EACCES, "Permission denied", "a"), None]
    with pytest.raises(PermissionError):
        make_patience(tmp_path)(fail_once, is_refusal_final=True)


def test_who_was_superseded_meanwhile_does_not_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience_module, "FIRST_PAUSE_S", 0.001)
    run_dir = make_run(tmp_path)
    ownership = acquire(run_dir)
    tries: list[None] = []

    def fail_and_lose() -> None:
        tries.append(None)
        supersede(run_dir)
        raise StorageError("a: No space left on device")

    with pytest.raises(SupersededError):
        make_patience(tmp_path)(fail_and_lose, check=ownership.check)
    assert len(tries) == 1
