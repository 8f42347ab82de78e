"""Whether flock keeps two processes apart."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcexp.launch.doctor.findings import Finding, error, passed, warn
from hpcexp.launch.doctor.place import Place
from hpcexp.store.locks import NO_FLOCK

GRANTED, REFUSED, UNSUPPORTED = "granted", "refused", "unsupported"
RELEASE_S = 5.0


@contextmanager
def take_lock(path: Path | str) -> Iterator[str]:
    """Try once to take the lock of a path; GRANTED is held within, REFUSED is held by another.

    Raises OSError where the file cannot be opened, or the system answers something else.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> str:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        # NFS says EACCES for what is EWOULDBLOCK elsewhere.
        if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return REFUSED
        if problem.errno in NO_FLOCK:
            return UNSUPPORTED
        raise
    return GRANTED


def check_flock(place: Place) -> Finding:
    """Whether a lock that another process holds is refused, and free once that was killed."""
    path = place.make_room("flock") / "lock"
    with subprocess.Popen(
        [sys.executable, "-m", "hpcexp.launch.doctor.lock_holder", str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        try:
            assert holder.stdout is not None
            held = holder.stdout.readline().strip()
            with take_lock(path) as second:
                pass
        finally:
            holder.kill()
    waited_s = _wait_until_free(path) if held == GRANTED else 0.0
    return judge_flock(held, second, waited_s=waited_s)


def judge_flock(held: str, second: str, *, waited_s: float | None) -> Finding:
    """What it means that the first process got `held`, and the second meanwhile `second`.

    `waited_s` is how long the lock of the killed process lived on, None where it still does.
    """
    if UNSUPPORTED in (held, second):
        return warn(
            "flock",
            "this file system has no flock: files whose holders touch them serve as locks",
            todo="nothing: it works, but after a killed command the next one waits for up to half "
            "a minute; ask for a mount with flock if that hurts",
        )
    if (held, second) == (GRANTED, GRANTED):
        return warn(
            "flock",
            "two processes hold one lock at the same time",
            todo="runs are safe, since taking one does not rely on locks; but type one launch, "
            "resume or retry of an experiment at a time, or keep experiments elsewhere",
        )
    if waited_s is None:
        return error(
            "flock",
            f"the lock of a killed process was still held after {RELEASE_S:.0f} s",
            todo="commands will wait for each other in vain: tell your cluster's administrators "
            "(the lock daemon of the file server), or keep experiments elsewhere",
        )
    if held != GRANTED:
        return error(
            "flock",
            f"a lock on a new file was not granted ({held or 'no answer'})",
            todo="keep experiments on another file system",
        )
    return passed("flock", "two processes exclude each other; a killed one's lock is free at once")


def _wait_until_free(path: Path) -> float | None:
    start = time.monotonic()
    while time.monotonic() < start + RELEASE_S:
        with take_lock(path) as outcome:
            if outcome == GRANTED:
                return time.monotonic() - start
        time.sleep(0.05)
    return None
