"""A warm process is what the ordinary one is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.warm.process import WarmPopen, connect, run_warm

SHOW = """
import json, os, signal, sys, threading
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(),
    "variables": sorted(os.environ), "name": __name__, "path": sys.path, "input": sys.stdin.read(),
    "sigchld": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    "open": sorted(int(d) for d in os.listdir("/proc/self/fd"))[:3],
    "ours": [m for m in sys.modules if m.split(".")[0] in ("hpcexp", "tests")],
    "leader": os.getsid(0) == os.getpid(),
}))
print("to the error stream", file=sys.stderr)
"""


def start(kind: type[subprocess.Popen[str]], *command: str, **options: Any) -> list[Any]:
    pipe = subprocess.PIPE
    process = kind(
        [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
        **{"env": dict(os.environ)} | options,  # readline adds to what C sees of it
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=60)
    return [process.returncode, *stdout.split(", "), stderr.replace('"<string>"', "<string>")]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"start_new_session": True},
        {"env": {"MINE": "1", "LANG": "C.UTF-8", "PYTHONPATH": "/a"}},
    ],
    ids=["plain", "session", "environment"],
)
def test_a_warm_process_sees_what_an_ordinary_one_sees(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    assert connect() is not None
    command = ("-c", SHOW, "a", "-b")
    assert start(WarmPopen, *command, cwd=tmp_path, **options) == start(
        subprocess.Popen, *command, cwd=tmp_path, **options
    )


def test_a_module_is_found_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SHOW + "print(__file__)")
    command = ("-m", "mine", "x")
    assert start(WarmPopen, *command, cwd=tmp_path) == start(
        subprocess.Popen, *command, cwd=tmp_path
    )


@pytest.mark.parametrize(
    ("script", "exit_code"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('words')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(7)", 7),
        ("import atexit; atexit.register(print, 'last'); print('first', end=' ')", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_it_ends_as_an_ordinary_one(script: str, exit_code: int) -> None:
    warm, ordinary = start(WarmPopen, "-c", script), start(subprocess.Popen, "-c", script)
    assert warm[:2] == ordinary[:2]
    assert warm[0] == exit_code
    assert warm[2].splitlines()[-1:] == ordinary[2].splitlines()[-1:]


def test_ctrl_c_ends_it_even_where_tests_run_in_the_background_and_ignore_it() -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    exit_code, _, said = start(WarmPopen, "-c", script)
    assert exit_code == -signal.SIGINT
    assert "KeyboardInterrupt" in said


def test_it_is_begun_with_the_large_libraries_and_without_ours() -> None:
    script = "import sys; print('torch' in sys.modules, 'hpcexp' in sys.modules)"
    assert run_warm([sys.executable, "-c", script]).stdout == "True False\n"


def test_signals_reach_it_and_many_live_at_once() -> None:
    script = "import time; print('here', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script]
    processes = [WarmPopen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        processes[0].wait(0.05)
    for process, number in zip(
        processes, (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1), strict=True
    ):
        process.send_signal(number)
        assert process.wait(20) == -number
        with process:
            pass


@pytest.mark.parametrize(
    "options", [{"preexec_fn": os.getpid}, {"shell": False, "umask": 0o77}], ids=lambda o: min(o)
)
def test_what_a_fork_cannot_be_asked_for_is_an_ordinary_process(options: dict[str, Any]) -> None:
    script = "import sys; print('torch' in sys.modules)"
    assert run_warm([sys.executable, "-c", script], **options).stdout == "False\n"
