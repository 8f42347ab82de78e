"""Whether there is a directory for experiments, and room in it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess

from hpcexp.launch.doctor.findings import Finding, error, passed, warn
from hpcexp.launch.doctor.place import Place

MB, GB = 10**6, 10**9
LITTLE_BYTES, TOO_FEW_BYTES = 10 * GB, 100 * MB
# An experiment of 10,000 runs makes some 100,000 files.
FEW_FILES, TOO_FEW_FILES = 100_000, 1_000
TRIAL_BYTES = 16 * MB
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
CHOOSE_ANOTHER = "choose another one with --experiments-dir DIR, or HPCEXP_EXPERIMENTS_DIR=DIR"


def check_directory(place: Place) -> Finding:
    """Whether the directory is there or can be made, and things can be made in it."""
    directory, base = place.experiments_dir, place.base_dir
    if not base.is_dir():
        what = "a file, not a directory" if base.exists() else "a link to nothing"
        found = f"{directory} cannot be one: {base} is {what}"
        return error("directory", found, todo=CHOOSE_ANOTHER)
    try:
        place.make_scratch()
    except OSError as problem:
        return error(
            "directory",
            f"nothing can be made in {base}: {problem.strerror}",
            todo=f"free some space, or {CHOOSE_ANOTHER}"
            if problem.errno in FULL
            else f"`ls -ld {base}` and `findmnt -T {base}` tell who may write there; or "
            f"{CHOOSE_ANOTHER}",
        )
    made = "" if base == directory else f" (the first launch makes it, in {base})"
    return passed("directory", f"{directory}{made}")


def check_space(place: Place) -> Finding:
    """How much room the file system has, and whether this user may take some of it."""
    _, _, free_bytes = shutil.disk_usage(place.base_dir)
    problem = _try_to_fill(place, min(TRIAL_BYTES, free_bytes // 4))
    return judge_space(free_bytes, problem=problem)


def judge_space(free_bytes: int, *, problem: str = "") -> Finding:
    """`problem` is why a few megabytes could not be written, if they could not."""
    found = f"{_format_bytes(free_bytes)} free"
    if problem:
        return error(
            "space",
            f"{found}, but {TRIAL_BYTES // MB} MB could not be written: {problem}",
            todo="your quota may be used up (`quota -s`, on Lustre `lfs quota -u $USER DIR`): "
            "remove something, such as checkpoints of old experiments",
        )
    if free_bytes < TOO_FEW_BYTES:
        return error("space", found, todo=f"free some space, or {CHOOSE_ANOTHER}")
    if free_bytes < LITTLE_BYTES:
        return warn("space", found, todo="a large experiment's checkpoints may not fit")
    return passed("space", found)


def check_num_files(place: Place) -> Finding:
    """How many files the file system has room for."""
    system = os.statvfs(place.base_dir)
    # Some file systems have no fixed number of files, and say 0 of 0.
    return judge_num_files(system.f_favail if system.f_files else None)


def judge_num_files(num_free: int | None) -> Finding:
    """`num_free` is None where the file system does not count files."""
    if num_free is None:
        return passed("files", "no limit on their number is known")
    if num_free < TOO_FEW_FILES:
        return error(
            "files", f"room for {num_free:,} only", todo=f"remove some, or {CHOOSE_ANOTHER}"
        )
    if num_free < FEW_FILES:
        return warn(
            "files",
            f"room for {num_free:,} only",
            todo="an experiment of 10,000 runs makes some 100,000 files",
        )
    return passed("files", f"room for {num_free:,}")


def check_quota(_: Place) -> Finding:
    """Whether a quota is exceeded, where the system's own command tells it."""
    if shutil.which("quota") is None:
        return passed("quota", "not known: there is no quota command here")
    done = subprocess.run(
        ["quota", "-q"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", timeout=10,
    )  # fmt: skip
    # In this form it prints only file systems where more is used than the quota.
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if lines:
        return warn(
            "quota", "exceeded", todo="remove what you do not need: `quota -s`", details=lines
        )
    return passed("quota", "none is exceeded")


def _try_to_fill(place: Place, num_bytes: int) -> str:
    """Write real bytes: a quota shows only then, and the free space of a file system hides it."""
    path = place.make_room("space") / "trial"
    try:
        with path.open("wb") as file:
            for _ in range(num_bytes // MB):
                file.write(os.urandom(MB))
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        return problem.strerror or str(problem)
    finally:
        path.unlink(missing_ok=True)
    return ""


def _format_bytes(number: int) -> str:
    for unit, size in (("TB", 1000 * GB), ("GB", GB), ("MB", MB)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,} bytes"
