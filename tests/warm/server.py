"""Forks Pythons that have the large libraries loaded already; runs as a process of its own.

A request is a JSON object and four file descriptors: standard input, output, error, and a pipe for
the exit status. The answer is the child's process id. The child leaves `serve` with what it is to
run.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = (
    "click", "filelock", "matplotlib.pyplot", "matplotlib.backends.backend_pdf", "pandas",
    "pydantic", "rich.console", "rich.progress", "rich.table", "scipy.stats", "submitit", "torch",
    "torch.func", "torch.optim", "yaml",
)  # fmt: skip
REQUEST_BYTES = 150_000  # what a sequenced packet holds with Linux's default buffers


def load_libraries() -> None:
    """Import what takes long, and nothing of ours: tests change that, and its environment."""
    for name in LIBRARIES:
        __import__(name)
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, f"a process that forks has one thread, this one {len(threads)}"


def serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the children only."""
    exit_pipes: dict[int, int] = {}
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    while True:
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: tell_ends(exit_pipes))
        message, descriptors, _, _ = socket.recv_fds(connection, REQUEST_BYTES, 4)
        if not message:
            os._exit(0)  # whoever asked is gone
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            for descriptor in (*exit_pipes.values(), wake_read, wake_write, descriptors[3]):
                os.close(descriptor)
            connection.close()
            request: dict[str, Any] = json.loads(message)
            become(request, descriptors[:3])
            return request
        exit_pipes[pid] = descriptors[3]
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        connection.send(str(pid).encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def tell_ends(exit_pipes: dict[int, int]) -> None:
    """Write the status of every child that ended into its pipe."""
    for pid in list(exit_pipes):
        with contextlib.suppress(ChildProcessError):  # in a child, before it is one
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pipe = exit_pipes.pop(pid)
                os.write(pipe, str(status).encode())
                os.close(pipe)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Take the directory, environment and streams that a new process would be given."""
    if request["start_new_session"]:
        os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, max(streams) + 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    base = [path for path in sys.path if path not in added]
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    places = {"-m": request["cwd"], "-c": ""}
    first = places.get(request["kind"], str(Path(request["what"]).parent))
    sys.path[:] = [first, *added, *base[1:]]
    open_stream("stdin", 0, "r")
    open_stream("stdout", 1, "w", errors="strict")
    open_stream("stderr", 2, "w", errors="backslashreplace")


def open_stream(name: str, descriptor: int, mode: str, errors: str | None = None) -> None:
    """Open a standard stream as Python does: errors by lines, output into a pipe in blocks."""
    at_once = mode == "w" and bool(os.environ.get("PYTHONUNBUFFERED"))
    raw: Any = os.fdopen(descriptor, f"{mode}b", 0 if at_once else -1, closefd=False)
    stream = io.TextIOWrapper(
        raw, encoding="utf-8", errors=errors,
        line_buffering=descriptor == 2 or raw.isatty(), write_through=at_once,
    )  # fmt: skip
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def run(request: dict[str, Any]) -> int:
    """Run the module, code or script; the exit code that Python would give."""
    sys.argv = ["-c" if request["kind"] == "-c" else request["what"], *request["arguments"]]
    try:
        if request["kind"] == "-m":
            runpy.run_module(request["what"], run_name="__main__", alter_sys=True)
        elif request["kind"] == "-c":
            exec(compile(request["what"], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(request["what"], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def finish(exit_code: int) -> NoReturn:
    """End as Python does, but for the destruction of every module, which would copy all pages."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed by the program
            try:
                stream.flush()
            except OSError as error:  # as where nobody reads, or the disk is full
                exit_code = 120
                with contextlib.suppress(OSError):
                    os.write(2, f"Exception ignored: {error!r}\n".encode())
    if exit_code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(exit_code & 0xFF)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load_libraries()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.send(b"ready")
    finish(run(serve(connection)))


if __name__ == "__main__":
    main()
