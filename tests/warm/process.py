"""Processes that begin with torch, pandas and matplotlib loaded: a second less for each.

The suite starts more than a thousand Pythons. A `WarmPopen` is a `subprocess.Popen` whose child is
forked by a server that has imported the large libraries (never hpcexp): a process of its own all
the same, with its own directory, environment, streams, signals and exit code.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.warm.server import REQUEST_BYTES

NO_THREADS = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
SERVER = Path(__file__).with_name("server.py")


class WarmPopen(subprocess.Popen[str]):
    """`[sys.executable, "-m", "-c" or a script, ...]` as a fork; any other command as it is.

    What a fork cannot be asked for (`preexec_fn`, `process_group`, `user`, flags of Python) starts
    an ordinary process as well.
    """

    _exit_pipe: int | None = None

    def _execute_child(self, *arguments: Any) -> None:
        asked = inspect.signature(subprocess.Popen._execute_child).bind(self, *arguments).arguments  # type: ignore[attr-defined]
        server = connect() if can_fork(asked) else None
        if server is None:
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        words = [os.fspath(word) for word in asked["args"][1:]]
        kind, what, *rest = words if words[0] in ("-m", "-c") else ("script", *words)
        request = {
            "kind": kind, "what": what, "arguments": rest,
            "cwd": str(asked["cwd"] or Path.cwd()),
            "env": dict(os.environ if asked["env"] is None else asked["env"]),
            "start_new_session": asked["start_new_session"],
        }  # fmt: skip
        message = json.dumps(request).encode()
        if len(message) > REQUEST_BYTES:
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        self._exit_pipe, ended = os.pipe2(os.O_CLOEXEC)
        names = ("p2cread", "c2pwrite", "errwrite")
        streams = [asked[n] if asked[n] != -1 else number for number, n in enumerate(names)]
        socket.send_fds(server, [message], [*streams, ended])
        self.pid = int(server.recv(100))
        self._child_created = True
        os.close(ended)
        pipes = (asked[n] for n in ("p2cread", "p2cwrite", "c2pread", "c2pwrite"))
        self._close_pipe_fds(*pipes, asked["errread"], asked["errwrite"])  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._exit_pipe is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        timeout = 0 if wait_flags & os.WNOHANG else None
        if not select.select([self._exit_pipe], [], [], timeout)[0]:
            return 0, 0
        status = os.read(self._exit_pipe, 100)
        os.close(self._exit_pipe)
        return self.pid, int(status) if status else signal.SIGKILL  # without a server: unknown

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._exit_pipe is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def can_fork(asked: dict[str, Any]) -> bool:
    """Whether a command is a module or a script in this Python, asked for in ordinary ways."""
    command = asked["args"]
    unusual = ("preexec_fn", "executable", "pass_fds", "shell", "gids", "creationflags")
    numbers = ("gid", "uid", "umask", "process_group")
    return (
        isinstance(command, list)
        and len(command) > 1
        and command[0] == sys.executable
        and (command[1:2] in (["-m"], ["-c"]) or str(command[1]).endswith(".py"))
        and not any(asked[name] for name in unusual)
        and all(asked[name] in (None, -1) for name in numbers)
    )


@functools.cache
def connect() -> socket.socket | None:
    """This process's server; None where it cannot be one, as with a library that starts threads."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, str(SERVER), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            # A process that forks has one thread: pyarrow's allocator would have one of its own.
            env={**os.environ, "OMP_NUM_THREADS": "1", **NO_THREADS},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C of whoever tests is not for it
        )
    if ours.recv(100) != b"ready":
        server.wait()
        return None
    atexit.register(close, ours, server)
    return ours


def close(connection: socket.socket, server: subprocess.Popen[bytes]) -> None:
    connection.close()
    server.wait()


def run_warm(
    command: Sequence[str | Path], *, timeout: float = 200, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run(command, capture_output=True, text=True)`, warm."""
    pipe = subprocess.PIPE
    with WarmPopen(command, stdout=pipe, stderr=pipe, text=True, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
