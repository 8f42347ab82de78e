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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, RunOwnedError, StorageError, SupersededError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import RunDir
from hpcexp.store.locks import locked, read_clock

# An owner that cannot be seen, and of which nothing else is known, is taken for dead after
# this much silence: a dozen heartbeats, and more than a file system shows old times for.
HEARTBEAT_EVERY_S = 15.0
HEARTBEAT_EXPIRY_S = 180.0
CLAIM_EXPIRY_S = 30.0


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
    boot_id: str = ""
    pid_namespace: str = ""


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
        """Raise SupersededError where a newer attempt owns the run.

        An owner never goes away of itself: without one the directory was deleted, or its file
        system is away, which is StorageError.
        """
        current = _read_owner(self.run_dir)
        if current is None:
            raise StorageError(
                f"{self.run_dir.owner_path}: has vanished; mount the file system again, or end "
                "this process if the run was deleted"
            )
        if current.id != self.owner.id:
            raise SupersededError(
                f"{self.run_dir.name}: attempt {self.owner.token} was superseded by "
                f"{_describe(current)}"
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
            _write_owner(self.run_dir, dataclasses.replace(self.owner, released=True))


def acquire(run_dir: RunDir, *, steal: bool = False) -> Ownership:
    """Take a run for this process; `steal` takes it from an owner that may be alive, too.

    Raises RunOwnedError where its owner may be alive, HpcexpError where its files are damaged.
    """
    with _lock(run_dir):
        previous = _read_owner(run_dir)
        if previous is not None and not steal and may_be_alive(run_dir, previous):
            raise RunOwnedError(
                f"{run_dir.name}: already being trained by {_describe(previous)}; "
                "cancel that first, or wait until it ends"
            )
        owner = _describe_this_process(token=previous.token + 1 if previous else 1)
        with _claiming(run_dir, owner.token):
            _write_owner(run_dir, owner)
        return Ownership(run_dir, owner)


def evict(run_dir: RunDir) -> Owner | None:
    """End the ownership of a process that is known to be dead, or that must give way.

    The owner's token stays, so that attempts are numbered without gaps; its id does not, so
    that it is superseded if it is alive after all. Returns the owner that was evicted, if any.
    """
    with _lock(run_dir):
        owner = _read_owner(run_dir)
        if owner is None or owner.released:
            return None
        with _claiming(run_dir, owner.token + 1, after=owner.token):
            _write_owner(run_dir, dataclasses.replace(owner, id=uuid.uuid4().hex, released=True))
        return owner


@contextmanager
def _claiming(run_dir: RunDir, token: int, *, after: int | None = None) -> Iterator[None]:
    """Be the only process on any host that gives out a token, whether locks work or not.

    A file is made that only one process can make, and the owner is looked at once more. Some
    shared file systems grant the same lock to two hosts at once.
    """
    path = run_dir.claim_path(token)
    _remove_stale_claim(run_dir, path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError as error:
        raise RunOwnedError(
            f"{run_dir.name}: another process is taking it at this moment"
        ) from error
    try:
        current = _read_owner(run_dir)
        expected = token - 1 if after is None else after
        if (current.token if current else 0) != expected:
            raise RunOwnedError(f"{run_dir.name}: another process has just taken it")
        yield
    finally:
        path.unlink(missing_ok=True)


def _remove_stale_claim(run_dir: RunDir, path: Path) -> None:
    """Whoever made a claim and died held it for moments only."""
    try:
        age_s = read_clock(run_dir.lock_path) - path.stat().st_mtime
    except FileNotFoundError:
        return
    if age_s > CLAIM_EXPIRY_S:
        path.unlink(missing_ok=True)


def read_live_owner(run_dir: RunDir) -> Owner | None:
    """The owner of a run, if it has one that may be alive."""
    owner = _read_owner(run_dir)
    return owner if owner is not None and may_be_alive(run_dir, owner) else None


def read_owner(run_dir: RunDir) -> Owner | None:
    """Whoever owns a run or owned it last; None where nobody ever did."""
    return _read_owner(run_dir)


def may_be_alive(run_dir: RunDir, owner: Owner) -> bool:
    """Whether an owner may still be at work: certain where its process can be seen, else by
    its heartbeat.
    """
    if owner.released:
        return False
    if _is_superseded_by_this_job(owner):
        return False
    if is_visible_here(owner):
        return read_process_start(owner.pid) == owner.process_start is not None
    return read_silence_s(run_dir, owner) < HEARTBEAT_EXPIRY_S


def is_visible_here(owner: Owner) -> bool:
    """Whether the owner's process, if it is alive, is among those that can be seen here.

    Two containers, and two nodes of a carelessly set up cluster, may share a host name.
    """
    if owner.host != socket.gethostname():
        return False
    return not owner.boot_id or (owner.boot_id, owner.pid_namespace) == _read_machine()


def read_silence_s(run_dir: RunDir, owner: Owner) -> float:
    """Seconds since an owner elsewhere showed life; 0 where its process can be seen."""
    if is_visible_here(owner):
        return 0.0
    beat = run_dir.owner_path.stat().st_mtime
    return max(0.0, read_clock(run_dir.lock_path) - beat)


def _is_superseded_by_this_job(owner: Owner) -> bool:
    """Slurm restarts a job only when it has given up the earlier start of it."""
    here = _describe_this_process(token=0)
    same_job = bool(owner.job_id) and owner.job_id == here.job_id
    return same_job and owner.restart_count < here.restart_count


def _describe_this_process(*, token: int) -> Owner:
    environment = os.environ
    boot_id, pid_namespace = _read_machine()
    return Owner(
        token=token,
        id=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        process_start=read_process_start(os.getpid()),
        job_id=find_job_id(environment),
        restart_count=int(environment.get("SLURM_RESTART_COUNT", "0")),
        acquired=time.time(),
        boot_id=boot_id,
        pid_namespace=pid_namespace,
    )


def _read_machine() -> tuple[str, str]:
    """This boot of this machine, and the processes that are visible in it; empty if unknown."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot_id, os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no path, but a name)
    except OSError:
        return "", ""


def find_job_id(environment: Mapping[str, str]) -> str:
    """The Slurm job that a process is part of, such as `77_3`; empty outside of any."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID", "")


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


def _write_owner(run_dir: RunDir, owner: Owner) -> None:
    write_json(run_dir.owner_path, dataclasses.asdict(owner))


def _read_owner(run_dir: RunDir) -> Owner | None:
    try:
        return read_record(run_dir.owner_path, Owner)
    except HpcexpError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


@contextmanager
def _lock(run_dir: RunDir) -> Iterator[None]:
    with locked(run_dir.lock_path):
        yield


def _describe(owner: Owner) -> str:
    job = f", job {owner.job_id}" if owner.job_id else ""
    return f"process {owner.pid} on {owner.host}{job} (attempt {owner.token})"
