"""Locks that are held for moments, also where a file system has no working flock.

Where flock is refused, a file that its holder touches every few seconds is the lock. It is
taken over when the holder is known to be dead, or was not seen to touch it for a while.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpcexp.errors import HpcexpError

if TYPE_CHECKING:  # what only reads needs no lock, and starts sooner
    from filelock import BaseFileLock

TIMEOUT_S = 60.0
LEASE_S = 30.0
NO_FLOCK = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})


class LockedError(HpcexpError):
    """Another process holds a lock for longer than anybody should."""


@contextmanager
def locked(path: Path, *, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock of a path; not to be nested.

    Raises LockedError after `timeout_s` (a minute, unless given), OSError where the file
    system does not let a lock file be made.
    """
    wait_s = TIMEOUT_S if timeout_s is None else timeout_s
    lock = _take(path, wait_s)
    try:
        yield
    finally:
        lock.release()


def _take(path: Path, wait_s: float) -> BaseFileLock:
    from filelock import FileLock, SoftFileLease

    try:
        return _acquire(FileLock(path, timeout=wait_s, fallback_to_soft=False), path, wait_s)
    except (NotImplementedError, OSError) as error:  # the first is filelock's for no flock
        if isinstance(error, OSError) and error.errno not in NO_FLOCK:
            raise
    # Another name: of the file that flock was tried on, existence says nothing.
    held = path.with_name(f"{path.name}.held")
    return _acquire(SoftFileLease(held, timeout=wait_s, lease_duration=LEASE_S), path, wait_s)


def _acquire(lock: BaseFileLock, path: Path, wait_s: float) -> BaseFileLock:
    from filelock import Timeout

    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{path}: another process has held this lock for {wait_s:.0f} s; "
            "is the file system stuck?"
        ) from error
    return lock


def read_clock(path: Path) -> float:
    """The file system's time, as it stamps files: `path`, an existing file of ours, is touched.

    Ages of files are told by it, since the clocks of two hosts, or of a file server, differ.
    Where it may not be touched, this host's clock has to do.
    """
    try:
        os.utime(path)
        return path.stat().st_mtime
    except OSError:
        return time.time()
