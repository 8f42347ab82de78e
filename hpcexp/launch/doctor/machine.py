"""The checks of a machine and of the experiments directory as it sees it.

They run in a process of their own, of which nobody waits for the end: a process that hangs in a
file system cannot be ended, and would keep the shell from coming back.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from hpcexp.launch.doctor import file_operations, python, space
from hpcexp.launch.doctor.checking import Check, run_checks
from hpcexp.launch.doctor.findings import Report, error, report_from_json, report_to_json
from hpcexp.launch.doctor.locking import check_flock
from hpcexp.launch.doctor.mounts import check_file_system
from hpcexp.launch.doctor.place import Place

IN_DIRECTORY = ("directory",)
IN_ROOM = ("directory", "space")  # a full disk would make each of them fail

PYTHON_CHECKS: tuple[Check[Place], ...] = (
    Check("python", python.check_python),
    Check("packages", python.check_packages),
    Check("torch", python.check_torch, timeout_s=python.TORCH_TIMEOUT_S + 5),
)
DIRECTORY_CHECKS: tuple[Check[Place], ...] = (
    Check("directory", space.check_directory),
    Check("file_system", check_file_system),
    Check("space", space.check_space, IN_DIRECTORY),
    Check("files", space.check_num_files, IN_DIRECTORY),
    Check("quota", space.check_quota, IN_DIRECTORY),
    Check("rename", file_operations.check_rename, IN_ROOM),
    Check("directory_rename", file_operations.check_directory_rename, IN_ROOM),
    Check("exclusive_creation", file_operations.check_exclusive_creation, IN_ROOM),
    Check("hard_links", file_operations.check_hard_links, IN_ROOM),
    Check("fsync", file_operations.check_fsync, IN_ROOM),
    Check("flock", check_flock, IN_ROOM),
    Check("names", file_operations.check_names, IN_ROOM),
    Check("clock", file_operations.check_clock, IN_ROOM),
)
PYTHON_NAMES = frozenset({"python", "packages", "torch", "threads", "gpus"})
MACHINE_CHECKS = (*PYTHON_CHECKS, *DIRECTORY_CHECKS)
TIMEOUT_S = max(check.timeout_s for check in MACHINE_CHECKS) + 10
CLEANING_S = 5.0


def examine_machine(experiments_dir: Path, *, timeout_s: float = TIMEOUT_S) -> Report:
    """Run the checks in a process of their own; where it hangs or breaks, that is the finding."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcexp.launch.doctor.machine", str(experiments_dir)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace",
    )  # fmt: skip
    assert process.stdout is not None
    answer = _read_within(process.stdout.readline, timeout_s=timeout_s)
    if answer is None:
        process.kill()
        _end(process)
        return _explain_silence(experiments_dir, timeout_s)
    said = _end(process)
    try:
        return report_from_json(json.loads(answer))
    except (ValueError, KeyError, TypeError):
        return Report((error(
            "machine",
            f"the checks of this machine broke off: {said or 'without a word'}",
            todo=f"see what `{sys.executable} -m hpcexp.launch.doctor.machine DIR` says",
        ),))  # fmt: skip


def _end(process: subprocess.Popen[str]) -> str:
    """Let a process clean up, and end it; the last line of its complaints, if it can be had."""
    for end in (process.terminate, process.kill):
        try:
            _, complaints = process.communicate(timeout=CLEANING_S)
        except subprocess.TimeoutExpired:
            end()  # which has no effect while it hangs in a file system
        else:
            lines = complaints.strip().splitlines()
            return lines[-1] if lines else ""
    return ""


def _explain_silence(experiments_dir: Path, timeout_s: float) -> Report:
    return Report((error(
        "machine",
        f"the checks of this machine did not end within {timeout_s:.0f} s",
        todo=f"a file system hangs, that of {experiments_dir} or that of Python: `df` in another "
        "terminal shows which; tell your cluster's administrators",
    ),))  # fmt: skip


def _read_within(read: Callable[[], str], *, timeout_s: float) -> str | None:
    """What `read` returns, or None where it has not within the time."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(read()), daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return None


def main() -> None:
    """Print the report as a line of JSON, and clean up, which may hang where checks did."""
    place = Place(Path(sys.argv[1]))
    try:
        report = run_checks(MACHINE_CHECKS, place)
        sys.stdout.write(json.dumps(report_to_json(report)) + "\n")
        sys.stdout.flush()
    finally:
        place.remove_scratch()


if __name__ == "__main__":
    main()
