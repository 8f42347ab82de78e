"""The directory of experiments is tried for real, also where it is small or read-only."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpcexp.launch.doctor.checking import run_checks
from hpcexp.launch.doctor.file_operations import judge_clock, judge_races
from hpcexp.launch.doctor.findings import Level, Report, report_from_json
from hpcexp.launch.doctor.locking import (
    GRANTED,
    REFUSED,
    UNSUPPORTED,
    check_flock,
    judge_flock,
    take_lock,
)
from hpcexp.launch.doctor.machine import DIRECTORY_CHECKS, examine_machine
from hpcexp.launch.doctor.place import SCRATCH_PREFIX, Place
from hpcexp.launch.doctor.space import GB, MB, judge_num_files, judge_space

EXAMINE = """
import json, sys
from pathlib import Path
from hpcexp.launch.doctor.checking import run_checks
from hpcexp.launch.doctor.findings import report_to_json
from hpcexp.launch.doctor.machine import DIRECTORY_CHECKS
from hpcexp.launch.doctor.place import Place
place = Place(Path(sys.argv[1]))
print(json.dumps(report_to_json(run_checks(DIRECTORY_CHECKS, place))))
place.remove_scratch()
"""


def examine(directory: Path) -> Report:
    place = Place(directory)
    try:
        return run_checks(DIRECTORY_CHECKS, place)
    finally:
        place.remove_scratch()


def examine_mounted(directory: Path, *options: str) -> Report:
    """Look at a tmpfs that only this look can see; skips where mounting is not permitted."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(directory)]
    look = [sys.executable, "-c", EXAMINE, str(directory)]
    script = f"{shlex.join(mount)} || exit 99; exec {shlex.join(look)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no mounts of one's own here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return report_from_json(json.loads(done.stdout))


def find(report: Report, check: str) -> tuple[Level, str, str]:
    finding = report.get(check)
    assert finding is not None, report
    return finding.level, finding.found, finding.todo


def test_a_directory_of_this_machine_passes_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    report = examine(tmp_path)
    assert not report.has_errors, report
    assert report.not_checked == ()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    report = examine(tmp_path / "new" / "experiments")
    level, found, _ = find(report, "directory")
    assert level == Level.PASSED
    assert f"the first launch makes it, in {tmp_path}" in found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [("file", "is a file"), ("file/below", "is a file"), ("link", "is a link to nothing")],
)
def test_what_is_no_directory_is_an_error_and_ends_the_look(
    tmp_path: Path, name: str, what: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    report = examine(tmp_path / name)
    level, found, todo = find(report, "directory")
    assert level == Level.ERROR
    assert what in found
    assert "--experiments-dir" in todo
    assert {"space", "flock", "rename"} <= set(report.not_checked)


def test_a_read_only_directory_is_an_error(tmp_path: Path) -> None:
    report = examine_mounted(tmp_path / "small", "size=100m", "ro")
    level, found, _ = find(report, "directory")
    assert level == Level.ERROR
    assert "Read-only file system" in found
    assert "flock" in report.not_checked


def test_a_file_system_of_a_megabyte_is_too_small(tmp_path: Path) -> None:
    report = examine_mounted(tmp_path / "small", "size=1m")
    level, found, _ = find(report, "space")
    assert level == Level.ERROR
    assert found == "1.0 MB free"
    assert "rename" in report.not_checked


def test_a_file_system_with_room_for_few_files_is_an_error(tmp_path: Path) -> None:
    report = examine_mounted(tmp_path / "small", "size=200m", "nr_inodes=500")
    assert find(report, "files")[0] == Level.ERROR


def test_a_file_system_in_memory_works_and_is_said_to_forget(tmp_path: Path) -> None:
    report = examine_mounted(tmp_path / "small", "size=200m")
    level, found, _ = find(report, "file_system")
    assert level == Level.WARN
    assert found == f"tmpfs on {tmp_path}/small: gone when this machine or container ends"
    assert not report.has_errors


def test_only_what_killed_doctors_left_long_ago_is_removed(tmp_path: Path) -> None:
    old, new = tmp_path / f"{SCRATCH_PREFIX}old", tmp_path / f"{SCRATCH_PREFIX}new"
    for path in (old, new):
        path.mkdir()
    before = time.time() - 2 * 86400
    os.utime(old, (before, before))
    examine(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_a_lock_that_this_process_holds_is_refused_to_another_opening(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with take_lock(path) as first, take_lock(path) as second:
        assert (first, second) == (GRANTED, REFUSED)
    with take_lock(path) as third:
        assert third == GRANTED


def test_a_file_system_without_working_flock_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process's own calls are granted whatever others hold, as with local locks."""
    place = Place(tmp_path)
    place.make_scratch()
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, operation: None)
    finding = check_flock(place)
    assert finding.level == Level.WARN
    assert "two processes hold one lock" in finding.found


@pytest.mark.parametrize(
    ("held", "second", "waited_s", "level"),
    [
        (GRANTED, REFUSED, 0.1, Level.PASSED),
        (GRANTED, GRANTED, 0.1, Level.WARN),
        (UNSUPPORTED, UNSUPPORTED, 0.0, Level.WARN),
        (GRANTED, REFUSED, None, Level.ERROR),
        (REFUSED, REFUSED, 0.0, Level.ERROR),
        ("", GRANTED, 0.0, Level.ERROR),
    ],
)
def test_what_locks_do_is_judged(
    held: str, second: str, waited_s: float | None, level: Level
) -> None:
    assert judge_flock(held, second, waited_s=waited_s).level == level


@pytest.mark.parametrize(
    ("free_bytes", "problem", "level"),
    [
        (50 * GB, "", Level.PASSED),
        (5 * GB, "", Level.WARN),
        (99 * MB, "", Level.ERROR),
        (50 * GB, "Disk quota exceeded", Level.ERROR),
    ],
)
def test_free_space_is_judged(free_bytes: int, problem: str, level: Level) -> None:
    finding = judge_space(free_bytes, problem=problem)
    assert finding.level == level
    assert problem in finding.found


@pytest.mark.parametrize(
    ("num_free", "level"),
    [(None, Level.PASSED), (10**6, Level.PASSED), (50_000, Level.WARN), (10, Level.ERROR)],
)
def test_room_for_files_is_judged(num_free: int | None, level: Level) -> None:
    assert judge_num_files(num_free).level == level


def test_two_winners_of_one_race_are_an_error() -> None:
    assert judge_races([1, 1, 1]).level == Level.PASSED
    assert judge_races([1, 2, 1]).level == Level.ERROR
    assert judge_races([1, 0, 1]).level == Level.ERROR


@pytest.mark.parametrize(
    ("skew_s", "words"), [(0.0, "within 0.1 s"), (90.0, "90.0 s ahead"), (-7.0, "7.0 s behind")]
)
def test_a_file_servers_clock_that_is_off_is_told(skew_s: float, words: str) -> None:
    finding = judge_clock(skew_s)
    assert words in finding.found
    assert finding.level == (Level.WARN if abs(skew_s) > 5 else Level.PASSED)


def test_a_machine_whose_checks_hang_is_an_error_in_time(tmp_path: Path) -> None:
    report = examine_machine(tmp_path, timeout_s=0.01)
    level, found, todo = find(report, "machine")
    assert level == Level.ERROR
    assert "did not end within" in found
    assert "a file system hangs" in todo


def test_checks_that_break_off_are_an_error_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "socket.py").write_text("raise RuntimeError('not that one')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    level, found, _ = find(examine_machine(tmp_path), "machine")
    assert level == Level.ERROR
    assert "RuntimeError: not that one" in found
