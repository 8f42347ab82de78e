from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store import locks
from hpcexp.store.locks import locked, read_clock
from tests.store.conftest import StartPython

HOLD = """
import errno, fcntl, os, sys
from pathlib import Path
if sys.argv[2] != "0":
    def refuse(descriptor, operation):
        raise OSError(int(sys.argv[2]), os.strerror(int(sys.argv[2])))
    fcntl.flock = refuse
from hpcexp.store.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[0, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def flock_errno(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How the file system answers flock: 0 grants it."""
    number: int = request.param
    if number:

        def refuse(_descriptor: int, _operation: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refuse)
    return number


def test_only_one_process_holds_a_lock_whether_flock_works_or_not(
    tmp_path: Path, flock_errno: int, start_python: StartPython
) -> None:
    path = tmp_path / ".lock"
    holder = start_python(HOLD, path, flock_errno)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(HpcexpError, match="has held this lock"), locked(path, timeout_s=0.1):
        pytest.fail("two hold it")
    holder.communicate()
    with locked(path, timeout_s=5):
        pass


def test_the_lock_of_a_killed_process_is_free(
    tmp_path: Path, flock_errno: int, start_python: StartPython
) -> None:
    path = tmp_path / ".lock"
    holder = start_python(HOLD, path, flock_errno)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(path, timeout_s=10):
        pass


def test_threads_take_turns_whether_flock_works_or_not(tmp_path: Path, flock_errno: int) -> None:
    path, counter = tmp_path / ".lock", tmp_path / "counter"
    counter.write_text("0")

    def add() -> None:
        for _ in range(10):
            with locked(path):
                value = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(value + 1))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "30"
    assert flock_errno or not list(tmp_path.glob("*.held*"))


def test_another_refusal_of_flock_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path / ".lock"):
        pytest.fail("nobody knows whether it is held")


def test_the_clock_is_the_one_that_stamps_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (5.0, 5.0))
    assert abs(read_clock(path) - time.time()) < 60
    assert path.stat().st_mtime > 5.0


def test_where_no_file_may_be_touched_this_hosts_clock_has_to_do(tmp_path: Path) -> None:
    assert abs(read_clock(tmp_path / "missing") - time.time()) < 60


def test_the_time_that_a_lock_is_waited_for_may_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "TIMEOUT_S", 0.05)
    path = tmp_path / ".lock"
    with locked(path), pytest.raises(HpcexpError, match="is the file system stuck"), locked(path):
        pytest.fail("not to be nested")
