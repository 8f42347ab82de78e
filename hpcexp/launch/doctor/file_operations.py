"""What hpcexp's files rely on: each is tried, on the file system that experiments are on."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hpcexp.launch.doctor.findings import Finding, error, passed, warn
from hpcexp.launch.doctor.place import Place
from hpcexp.store.experiment import TAKEN
from hpcexp.store.locks import read_clock

ANOTHER = "keep experiments on another file system: --experiments-dir DIR"
NUM_REPLACEMENTS = 200
REPLACING_S = 0.5
NUM_RACES, NUM_RACERS = 20, 8
SLOW_FSYNC_S = 0.5
CLOCK_SKEW_S = 5.0


def check_rename(place: Place) -> Finding:
    """Whether somebody who reads a file while it is replaced sees the old or the new one."""
    path = place.make_room("rename") / "record.json"
    texts = {"a" * 5000, "b" * 7000}
    path.write_text(min(texts))
    done, broken, problems = threading.Event(), set[str](), set[str]()

    def read() -> None:
        while not done.is_set():
            try:
                if path.read_text() not in texts:
                    broken.add("a reader saw half of it")
            except FileNotFoundError:
                broken.add("it was missing for a moment")
            except OSError as problem:  # such as a stale handle
                problems.add(problem.strerror or str(problem))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        count = _replace_often(path, sorted(texts))
    finally:
        done.set()
        reader.join()
    if broken:
        return error("rename", f"while a file was replaced, {min(broken)}", todo=ANOTHER)
    if problems:
        return warn(
            "rename",
            f"while a file was replaced, a reader got: {min(problems)}",
            todo="status may say so of a run that writes at this moment: ask once more",
        )
    return passed("rename", f"a file was replaced {count} times, and every reader saw a whole one")


def _replace_often(path: Path, texts: list[str]) -> int:
    end, count = time.monotonic() + REPLACING_S, 0
    while count < NUM_REPLACEMENTS and time.monotonic() < end:
        aside = path.with_suffix(".tmp")
        aside.write_text(texts[count % len(texts)])
        aside.replace(path)
        count += 1
    return count


def check_directory_rename(place: Place) -> Finding:
    """Whether a directory cannot take the place of another one that holds something.

    Two launches in one second get two directories only if it cannot.
    """
    room = place.make_room("directory_rename")
    for name in ("new", "taken"):
        (room / name).mkdir()
        (room / name / "file").touch()
    try:
        (room / "new").rename(room / "taken")
    except OSError as problem:
        if problem.errno in TAKEN:
            return passed("directory_rename", "a directory that holds something is not replaced")
        raise
    return error(
        "directory_rename", "a directory replaced another one that held something", todo=ANOTHER
    )


def check_exclusive_creation(place: Place) -> Finding:
    """Whether of several who make the same file at the same time exactly one succeeds."""
    room = place.make_room("exclusive")
    winners = [_race(partial(_create, room / f"claim_{race}")) for race in range(NUM_RACES)]
    return judge_races(winners)


def judge_races(winners: list[int]) -> Finding:
    """`winners` holds for each race how many made the file."""
    wrong = [count for count in winners if count != 1]
    if wrong:
        return error(
            "exclusive_creation",
            f"{max(wrong)} of {NUM_RACERS} made the same new file: two could train one run at once",
            todo=ANOTHER,
        )
    return passed("exclusive_creation", f"one of {NUM_RACERS} at a time, {len(winners)} times")


def _race(attempt: Callable[[], bool]) -> int:
    start = threading.Barrier(NUM_RACERS)
    won: list[bool] = []

    def take_part() -> None:
        start.wait()
        won.append(attempt())

    racers = [threading.Thread(target=take_part) for _ in range(NUM_RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return sum(won)


def _create(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def check_hard_links(place: Place) -> Finding:
    """Whether a checkpoint can get a second name without being copied."""
    room = place.make_room("links")
    (room / "first").write_text("text")
    try:
        os.link(room / "first", room / "second")
    except OSError as problem:
        return warn(
            "hard_links",
            f"none here: {problem.strerror}",
            todo="nothing: a run that continues copies its checkpoint instead",
        )
    return passed("hard_links", "a file can have two names")


def check_fsync(place: Place) -> Finding:
    """Whether a file can be forced onto the disk, and how long that takes."""
    path = place.make_room("fsync") / "file"
    times = []
    with path.open("wb") as file:
        for _ in range(5):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    median_s = statistics.median(times)
    found = f"{1000 * median_s:.1f} ms"
    if median_s > SLOW_FSYNC_S:
        return warn(
            "fsync",
            found,
            todo="every status and checkpoint waits that long: is the file server busy?",
        )
    return passed("fsync", found)


def check_names(place: Place) -> Finding:
    """Whether the names that hpcexp gives to files can exist, and stay apart."""
    room = place.make_room("names")
    for name in ("lr=0.001,width=4_rand_0", "2022_m12_d14@14_58_06", "n" * 255, "case"):
        (room / name).touch()
    if (room / "CASE").exists():
        return error(
            "names", "large and small letters are the same here: groups would meet", todo=ANOTHER
        )
    return passed("names", "long ones, '=', ',' and '@' work; large and small letters differ")


def check_clock(place: Place) -> Finding:
    """How far the file server's clock is from this host's."""
    path = place.make_room("clock") / "file"
    path.touch()
    return judge_clock(read_clock(path) - time.time())


def judge_clock(skew_s: float) -> Finding:
    """`skew_s` is the file server's time less this host's."""
    facts = {"skew_s": f"{skew_s:.3f}"}
    if abs(skew_s) > CLOCK_SKEW_S:
        return warn(
            "clock",
            f"the file server's clock is {_format_skew(skew_s)} this host's",
            todo="ages are told by the file server's clock, so nothing is taken for dead because "
            "of it; but times that are shown are wrong: tell your administrators (NTP)",
        )
    return passed("clock", f"the file server's is {_format_skew(skew_s)} this host's", facts=facts)


def _format_skew(skew_s: float) -> str:
    if abs(skew_s) < 0.1:
        return "within 0.1 s of"
    return f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'}"
