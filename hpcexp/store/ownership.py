"""One writer for each run.

An attempt takes a run by writing itself into `owner.json` with a token one higher than
the last one's: the fencing token, which is also the attempt's number. Every later write
checks that the token is still its own; a superseded attempt gets `SupersededError` and
stops. The check matters: on a cluster with a lost node, the old and the new attempt of
one job have been seen running at the same time.

Files of large writes carry the attempt's number in their names, so that even a write that
began before the check failed lands in a file that nobody reads.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hpcexp.errors import HpcexpError, RunOwnedError, SupersededError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import RunDir

LOCK_TIMEOUT_S = 60.0
# An owner on another host, of which nothing else is known, is taken for dead after this
# much silence. Owners show life at every record, at least once a minute.
HEARTBEAT_EXPIRY_S = 600.0


@dataclass(frozen=True)
class Owner:
    """The process that may write: where it runs, and as which start of which job."""

    token: int
    id: str
    host: str
    pid: int
    process_start: int | None
    job_id: str
    restart_count: int
    acquired: float
    released: bool = False


@dataclass(frozen=True)
class Ownership:
    """The right of one attempt to write to one run."""

    run_dir: RunDir
    owner: Owner

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.owner.token

    def check(self) -> None:
        """Raise SupersededError where a newer attempt owns the run."""
        current = _read_owner(self.run_dir)
        if current is None or current.id != self.owner.id:
            raise SupersededError(
                f"{self.run_dir.name}: attempt {self.owner.token} was superseded by "
                f"{_describe(current) if current else 'nobody known'}"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run's lock and check ownership: what is written within is never too late.

        Not to be nested. Checked before as well: a superseded attempt leaves even the lock alone.
        """
        self.check()
        with _lock(self.run_dir):
            self.check()
            yield

    def show_life(self) -> None:
        """Renew the heartbeat: the modification time of `owner.json`."""
        os.utime(self.run_dir.owner_path)

    def release(self) -> None:
        """Give the run back; its next attempt gets a higher token."""
        with self.writing():
            record = dataclasses.replace(self.owner, released=True)
            write_json(self.run_dir.owner_path, dataclasses.asdict(record))


def acquire(run_dir: RunDir) -> Ownership:
    """Take a run for this process.

    Raises RunOwnedError where its owner may be alive, HpcexpError where its files are damaged.
    """
    with _lock(run_dir):
        previous = _read_owner(run_dir)
        if previous is not None and may_be_alive(run_dir, previous):
            raise RunOwnedError(
                f"{run_dir.name}: already being trained by {_describe(previous)}; "
                "cancel that first, or wait until it ends"
            )
        owner = _describe_this_process(token=previous.token + 1 if previous else 1)
        write_json(run_dir.owner_path, dataclasses.asdict(owner))
        return Ownership(run_dir, owner)


def read_live_owner(run_dir: RunDir) -> Owner | None:
    """The owner of a run, if it has one that may be alive."""
    owner = _read_owner(run_dir)
    return owner if owner is not None and may_be_alive(run_dir, owner) else None


def may_be_alive(run_dir: RunDir, owner: Owner) -> bool:
    """Whether an owner may still be at work: certain on its own host, by heartbeat elsewhere."""
    if owner.released:
        return False
    if _is_superseded_by_this_job(owner):
        return False
    if owner.host == socket.gethostname():
        return read_process_start(owner.pid) == owner.process_start is not None
    return read_silence_s(run_dir, owner) < HEARTBEAT_EXPIRY_S


def read_silence_s(run_dir: RunDir, owner: Owner) -> float:
    """Seconds since an owner on another host showed life; 0 on this host, where it is seen."""
    if owner.host == socket.gethostname():
        return 0.0
    return max(0.0, time.time() - run_dir.owner_path.stat().st_mtime)


def _is_superseded_by_this_job(owner: Owner) -> bool:
    """Slurm restarts a job only when it has given up the earlier start of it."""
    here = _describe_this_process(token=0)
    same_job = bool(owner.job_id) and owner.job_id == here.job_id
    return same_job and owner.restart_count < here.restart_count


def _describe_this_process(*, token: int) -> Owner:
    environment = os.environ
    job_id = environment.get("SLURM_JOB_ID", "")
    if "SLURM_ARRAY_JOB_ID" in environment:
        job_id = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return Owner(
        token=token,
        id=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        process_start=read_process_start(os.getpid()),
        job_id=job_id,
        restart_count=int(environment.get("SLURM_RESTART_COUNT", "0")),
        acquired=time.time(),
    )


def read_process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: tells it from a reused pid."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _probe_process(pid)
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _probe_process(pid: int) -> int | None:
    """Where there is no /proc: -1 for a live process, None for a dead one."""
    if Path("/proc/self").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return -1


def _read_owner(run_dir: RunDir) -> Owner | None:
    if not run_dir.owner_path.exists():
        return None
    return read_record(run_dir.owner_path, Owner)


@contextmanager
def _lock(run_dir: RunDir) -> Iterator[None]:
    lock = FileLock(run_dir.lock_path, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise HpcexpError(
            f"{run_dir.lock_path}: another process has held this lock for {LOCK_TIMEOUT_S:.0f} s; "
            "is the file system stuck?"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _describe(owner: Owner) -> str:
    job = f", job {owner.job_id}" if owner.job_id else ""
    return f"process {owner.pid} on {owner.host}{job} (attempt {owner.token})"
