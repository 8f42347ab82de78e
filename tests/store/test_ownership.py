from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, RunOwnedError, StorageError, SupersededError
from hpcexp.store import locks
from hpcexp.store import ownership as ownership_module
from hpcexp.store.files import write_json
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import (
    HEARTBEAT_EXPIRY_S,
    Owner,
    Ownership,
    acquire,
    evict,
    read_live_owner,
    read_owner,
    read_process_start,
    read_silence_s,
)
from tests.store.conftest import DEADLINE_S, StartPython, wait_until

ACQUIRE_AND_WAIT = """
import sys
from pathlib import Path
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import acquire
print(acquire(RunDir(Path(sys.argv[1]))).attempt, flush=True)
sys.stdin.read()
"""
HOLD_THE_LOCK = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    path = tmp_path / "rnn_width=4_rand_1"
    path.mkdir()
    return RunDir(path)


@pytest.fixture
def in_job(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process is the second start of job 77."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    return monkeypatch


def write_owner(run_dir: RunDir, owner: Owner, *, silent_s: float = 0.0) -> None:
    write_json(run_dir.owner_path, dataclasses.asdict(owner))
    past = time.time() - silent_s
    os.utime(run_dir.owner_path, (past, past))


def make_owner(**changes: object) -> Owner:
    """An owner of which only its heartbeat tells whether it lives."""
    owner = Owner(
        token=5,
        id="somebody else",
        host="another-host",
        pid=os.getpid(),
        process_start=read_process_start(os.getpid()),
        job_id="",
        restart_count=0,
        acquired=0.0,
    )
    return dataclasses.replace(owner, **changes)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ tokens


def test_the_token_grows_by_one_with_every_attempt(run_dir: RunDir) -> None:
    attempts = []
    for _ in range(3):
        ownership = acquire(run_dir)
        attempts.append(ownership.attempt)
        ownership.release()
    assert attempts == [1, 2, 3]


def test_a_run_that_was_never_owned_has_no_owner(run_dir: RunDir) -> None:
    assert read_live_owner(run_dir) is None


def test_the_owner_is_this_process_until_it_gives_the_run_back(run_dir: RunDir) -> None:
    ownership = acquire(run_dir)
    owner = read_live_owner(run_dir)
    assert owner == ownership.owner
    assert owner is not None
    assert (owner.host, owner.pid) == (socket.gethostname(), os.getpid())
    ownership.release()
    assert read_live_owner(run_dir) is None


def test_the_owner_names_its_job_and_its_place_in_the_array(
    run_dir: RunDir, in_job: pytest.MonkeyPatch
) -> None:
    first = acquire(run_dir)
    assert (first.owner.job_id, first.owner.restart_count) == ("77", 1)
    first.release()
    in_job.setenv("SLURM_ARRAY_JOB_ID", "70")
    in_job.setenv("SLURM_ARRAY_TASK_ID", "4")
    assert acquire(run_dir).owner.job_id == "70_4"


def test_a_superseded_attempt_may_neither_check_nor_write_nor_release(run_dir: RunDir) -> None:
    ownership = acquire(run_dir)
    ownership.check()
    write_owner(run_dir, make_owner(token=2))
    before = run_dir.owner_path.read_bytes()
    with pytest.raises(SupersededError, match=r"attempt 1 was superseded by .*attempt 2"):
        ownership.check()
    with pytest.raises(SupersededError), ownership.writing():
        pytest.fail("this would have been a write")
    with pytest.raises(SupersededError):
        ownership.release()
    assert run_dir.owner_path.read_bytes() == before


def test_an_attempt_whose_owner_file_is_gone_is_not_superseded_but_may_not_write(
    run_dir: RunDir,
) -> None:
    ownership = acquire(run_dir)
    run_dir.owner_path.unlink()
    with pytest.raises(StorageError, match=r"owner\.json: has vanished; mount .* again"):
        ownership.check()
    with pytest.raises(StorageError), ownership.writing():
        pytest.fail("this would have been a write")


def test_who_is_superseded_while_waiting_for_the_lock_writes_nothing(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership = acquire(run_dir)
    real_check, num_checks = Ownership.check, 0

    def check_then_lose(self: Ownership) -> None:
        nonlocal num_checks
        num_checks += 1
        real_check(self)
        if num_checks == 1:
            write_owner(run_dir, make_owner(token=2))

    monkeypatch.setattr(Ownership, "check", check_then_lose)
    with pytest.raises(SupersededError), ownership.writing():
        pytest.fail("this would have been a write")


# ------------------------------------------------------- who may be alive, on this host


def test_a_live_owner_is_respected_and_a_killed_one_replaced(
    run_dir: RunDir, start_python: StartPython
) -> None:
    process = start_python(ACQUIRE_AND_WAIT, run_dir.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    before = run_dir.owner_path.read_bytes()
    with pytest.raises(RunOwnedError, match=rf"already being trained by process {process.pid} on"):
        acquire(run_dir)
    assert run_dir.owner_path.read_bytes() == before
    process.send_signal(signal.SIGKILL)
    # Not reaped yet: a zombie is dead, although its pid is still there.
    wait_until(lambda: read_live_owner(run_dir) is None, "the killed owner to be seen as dead")
    assert process.returncode is None
    assert acquire(run_dir).attempt == 2


def test_an_owner_that_ended_without_release_is_replaced(
    run_dir: RunDir, start_python: StartPython
) -> None:
    process = start_python(ACQUIRE_AND_WAIT, run_dir.path)
    process.communicate(timeout=DEADLINE_S)
    assert acquire(run_dir).attempt == 2


@pytest.mark.parametrize("start", [1, None])
def test_another_process_that_got_the_pid_is_not_the_owner(
    run_dir: RunDir, start: int | None
) -> None:
    write_owner(run_dir, make_owner(host=socket.gethostname(), process_start=start))
    assert acquire(run_dir).attempt == 6


def test_silence_says_nothing_on_the_owners_own_host(run_dir: RunDir) -> None:
    owner = make_owner(host=socket.gethostname())
    write_owner(run_dir, owner, silent_s=10 * HEARTBEAT_EXPIRY_S)
    assert read_silence_s(run_dir, owner) == 0.0
    with pytest.raises(RunOwnedError):
        acquire(run_dir)


def test_a_process_of_another_boot_or_container_is_judged_by_its_heartbeat(
    run_dir: RunDir,
) -> None:
    here = acquire(run_dir).owner
    for elsewhere in ({"boot_id": "another boot"}, {"pid_namespace": "pid:[1]"}):
        owner = dataclasses.replace(here, pid=2**22 + 1, **elsewhere)  # type: ignore[arg-type]
        write_owner(run_dir, owner, silent_s=0.5 * HEARTBEAT_EXPIRY_S)
        with pytest.raises(RunOwnedError):
            acquire(run_dir)
        write_owner(run_dir, owner, silent_s=1.1 * HEARTBEAT_EXPIRY_S)
        assert read_live_owner(run_dir) is None


# ----------------------------------------------------------- who may be alive, elsewhere


def test_an_owner_elsewhere_that_showed_life_is_respected(run_dir: RunDir) -> None:
    write_owner(run_dir, make_owner(), silent_s=0.5 * HEARTBEAT_EXPIRY_S)
    with pytest.raises(RunOwnedError, match="on another-host"):
        acquire(run_dir)


def test_an_owner_elsewhere_that_is_silent_for_long_is_replaced(run_dir: RunDir) -> None:
    write_owner(run_dir, make_owner(), silent_s=1.1 * HEARTBEAT_EXPIRY_S)
    assert acquire(run_dir).attempt == 6


def test_an_owner_elsewhere_that_gave_the_run_back_is_replaced_at_once(run_dir: RunDir) -> None:
    write_owner(run_dir, make_owner(released=True))
    assert acquire(run_dir).attempt == 6


def test_showing_life_ends_the_silence(run_dir: RunDir) -> None:
    ownership = acquire(run_dir)
    elsewhere = dataclasses.replace(ownership.owner, host="another-host")
    write_owner(run_dir, elsewhere, silent_s=500.0)
    assert read_silence_s(run_dir, elsewhere) > 400.0
    ownership.show_life()
    assert read_silence_s(run_dir, elsewhere) < 100.0


# ------------------------------------------------------------------- restarts of one job


@pytest.mark.parametrize("host", ["another-host", socket.gethostname()])
def test_a_restarted_job_takes_the_run_from_its_own_earlier_start(
    run_dir: RunDir, in_job: pytest.MonkeyPatch, host: str
) -> None:
    write_owner(run_dir, make_owner(host=host, job_id="77", restart_count=0))
    assert acquire(run_dir).attempt == 6


@pytest.mark.parametrize(
    ("job_id", "restart_count"),
    [("77", 1), ("77", 2), ("78", 0), ("77_1", 0), ("", 0)],
    ids=["same start", "later start", "other job", "other element of the array", "no job"],
)
def test_no_other_job_and_no_later_start_is_taken_for_dead(
    run_dir: RunDir, in_job: pytest.MonkeyPatch, job_id: str, restart_count: int
) -> None:
    write_owner(run_dir, make_owner(job_id=job_id, restart_count=restart_count))
    with pytest.raises(RunOwnedError):
        acquire(run_dir)


def test_outside_of_any_job_two_owners_without_job_are_not_the_same_job(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    write_owner(run_dir, make_owner(job_id="", restart_count=0))
    with pytest.raises(RunOwnedError):
        acquire(run_dir)


# --------------------------------------------------------------------- evicting, stealing


def test_an_evicted_owner_is_superseded_and_the_next_attempt_has_the_next_number(
    run_dir: RunDir,
) -> None:
    ownership = acquire(run_dir)
    assert evict(run_dir) == ownership.owner
    with pytest.raises(SupersededError):
        ownership.check()
    assert acquire(run_dir).attempt == 2


def test_there_is_nobody_to_evict_from_a_run_that_was_given_back(run_dir: RunDir) -> None:
    assert evict(run_dir) is None
    acquire(run_dir).release()
    before = run_dir.owner_path.read_bytes()
    assert evict(run_dir) is None
    assert run_dir.owner_path.read_bytes() == before


def test_a_run_can_be_stolen_from_an_owner_that_may_be_alive(run_dir: RunDir) -> None:
    write_owner(run_dir, make_owner())
    assert acquire(run_dir, steal=True).attempt == 6


# ----------------------------------------------------------------------- races and damage


def test_a_claim_in_progress_is_respected_and_a_forgotten_one_is_not(run_dir: RunDir) -> None:
    claim = run_dir.claim_path(1)
    claim.touch()
    with pytest.raises(RunOwnedError, match="at this moment"):
        acquire(run_dir)
    os.utime(claim, (time.time() - 60, time.time() - 60))
    assert acquire(run_dir).attempt == 1
    assert not claim.exists()


def test_who_loses_a_race_that_the_lock_did_not_prevent_takes_nothing(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the owner and the claim, a process on another host took the run."""
    real_read, num_reads = ownership_module._read_owner, 0

    def read_then_lose(given: RunDir) -> Owner | None:
        nonlocal num_reads
        num_reads += 1
        owner = real_read(given)
        if num_reads == 1:
            write_owner(run_dir, make_owner(token=1))
        return owner

    monkeypatch.setattr(ownership_module, "_read_owner", read_then_lose)
    with pytest.raises(RunOwnedError, match="has just taken it"):
        acquire(run_dir)
    assert read_owner(run_dir) == make_owner(token=1)
    assert not list(run_dir.path.glob(".claim*"))


def race(
    barrier: Barrier, run_paths: list[Path], won: multiprocessing.SimpleQueue[list[int]]
) -> None:
    """Take every run at the same moment as the others; live until all have tried all."""
    mine = []
    for index, path in enumerate(run_paths):
        barrier.wait(DEADLINE_S)
        try:
            acquire(RunDir(path))
        except RunOwnedError:
            continue
        mine.append(index)
    barrier.wait(DEADLINE_S)
    won.put(mine)


def race_without_locks(
    barrier: Barrier, run_paths: list[Path], won: multiprocessing.SimpleQueue[list[int]]
) -> None:
    """As on a file system that grants every lock to every host."""
    ownership_module.locked = lambda path, **_: contextlib.nullcontext(path.touch())  # type: ignore[assignment,attr-defined]
    race(barrier, run_paths, won)


@pytest.mark.parametrize("racing", [race, race_without_locks])
def test_of_processes_that_race_for_a_run_exactly_one_gets_it(
    tmp_path: Path, racing: Callable[..., None]
) -> None:
    run_paths = [tmp_path / str(number) for number in range(24)]
    for number, path in enumerate(run_paths):
        path.mkdir()
        if number % 2:
            write_owner(RunDir(path), make_owner(released=True))
    context = multiprocessing.get_context("spawn")
    barrier, won = context.Barrier(3), context.SimpleQueue()
    racers = [context.Process(target=racing, args=(barrier, run_paths, won)) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(DEADLINE_S)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    winners = sorted(index for _ in racers for index in won.get())
    assert winners == list(range(len(run_paths)))
    tokens = [json.loads(RunDir(p).owner_path.read_text())["token"] for p in run_paths]
    assert tokens == [1, 6] * 12


def test_fields_of_a_newer_version_are_ignored(run_dir: RunDir) -> None:
    owner = make_owner(token=3, released=True)
    write_json(run_dir.owner_path, {**dataclasses.asdict(owner), "mood": "fine"})
    assert acquire(run_dir).attempt == 4


def test_a_damaged_owner_file_is_an_error_in_words(run_dir: RunDir) -> None:
    run_dir.owner_path.write_text('{"token": 1}')
    with pytest.raises(HpcexpError, match=r"owner\.json: damaged \(without id, host"):
        acquire(run_dir)


def test_a_lock_that_is_never_given_back_is_an_error_in_words(
    run_dir: RunDir, start_python: StartPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start_python(HOLD_THE_LOCK, run_dir.lock_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    monkeypatch.setattr(locks, "TIMEOUT_S", 0.01)
    with pytest.raises(HpcexpError, match=r"\.lock: another process has held this lock"):
        acquire(run_dir)
