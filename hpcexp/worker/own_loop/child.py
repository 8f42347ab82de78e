"""The process of a training: started, heard, asked to stop, and never left behind.

It leads a session and a process group of its own. A guard, which does nothing but wait for the
worker's end of a pipe to close, kills the group when the worker dies without a word; a training
that nobody watches would go on writing beside the next attempt.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hpcexp.errors import OwnLoopError

NUM_LAST_LINES = 30
BLOCK_BYTES = 65_536
LEFT_BEHIND_S = 5.0
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_GUARD = (
    "import os, signal, sys, time\n"
    "for n in (1, 2, 10, 12, 15): signal.signal(n, signal.SIG_IGN)\n"
    "sys.stdin.buffer.read()\n"
    "group = int(sys.argv[1])\n"
    "for n, wait in ((15, 3), (9, 0)):\n"
    "    try: os.killpg(group, n)\n"
    "    except OSError: break\n"
    "    time.sleep(wait)\n"
)


class Child:
    """A started process with those that it starts; what they print goes to a log."""

    def __init__(
        self, words: Sequence[str], *, directory: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        """Raises OwnLoopError where it cannot be started, in words about what to do."""
        try:
            self.process = subprocess.Popen(
                list(words),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise OwnLoopError(_explain_start(words, directory, error)) from error
        self.group = self.process.pid
        self.guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self.group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
        self.listener = threading.Thread(target=self._listen, args=(log,), daemon=True)
        self.listener.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, below 0 for a signal; None while it runs."""
        return self.process.poll()

    def wait(self, seconds: float) -> None:
        """Wait until it ends, at most so long."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process itself: its helpers are its own to end."""
        if self.returncode is None:
            self.process.send_signal(number)

    def end_rest(self, number: signal.Signals, *, grace_s: float) -> bool:
        """End what is left of the group: a signal, then, after a while, death.

        A shell dies of a signal before the program that it runs; that still gets its time.
        Returns whether anything had to be killed.
        """
        if not self._has_members():
            return False
        self._signal_group(number)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            self.wait(0.05)
            if not self._has_members():
                return False
            time.sleep(0.05)
        self.kill()
        return True

    def kill(self) -> None:
        """Kill the whole group."""
        self._signal_group(signal.SIGKILL)
        self.wait(10.0)

    def close(self) -> None:
        """Leave nothing of it behind."""
        if self._has_members():
            self.kill()
        self.guard.kill()  # before its pipe closes: there is nothing to guard any more
        self.guard.wait()
        assert self.guard.stdin is not None
        with suppress(OSError):
            self.guard.stdin.close()
        self.listener.join(timeout=2.0)  # a daemon that left the group may hold the pipe

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    def _has_members(self) -> bool:
        if self.returncode is None:
            return True
        return _has_living_members(self.group)

    def _listen(self, log: Path) -> None:
        """Copy what is printed; lines that the disk refuses are lost."""
        out, err = self.process.stdout, self.process.stderr
        assert out is not None
        assert err is not None
        rest = ""
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    block = os.read(key.fd, BLOCK_BYTES)
                    if not block:
                        selector.unregister(key.fileobj)
                        continue
                    _append(log, block)
                    if key.fileobj is err:
                        *lines, rest = re.split(r"[\r\n]+", rest + block.decode("utf-8", "replace"))
                        self.last_lines.extend(_clean(lines))
                        rest = rest[-BLOCK_BYTES:]
        self.last_lines.extend(_clean([rest]))
        out.close()
        err.close()


def _append(log: Path, block: bytes) -> None:
    with suppress(OSError):
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            file.write(block)


def _clean(lines: Sequence[str]) -> list[str]:
    plain = (_ANSI.sub("", line).strip() for line in lines)
    return [line for line in plain if line]


def _has_living_members(group: int) -> bool:
    """Whether a process of the group lives; those that are dead and not fetched do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    proc = Path("/proc")
    if not (proc / "self/stat").exists():
        return True
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] not in "ZX":
                    return True
    return False


def _explain_start(words: Sequence[str], directory: Path, error: OSError) -> str:
    program = words[0]
    if not directory.is_dir():
        return f"{directory}: no such directory to start {program} in"
    if isinstance(error, FileNotFoundError):
        return (
            f"command not found: {program}; it is looked for in PATH and, with a /, from "
            f"{directory}; {{python}} is the Python that hpcexp runs with"
        )
    if isinstance(error, PermissionError):
        return f"{program} may not be executed; chmod +x it, or name its interpreter first"
    return f"{program} cannot be started: {error.strerror}"
