"""Mounts, disks and users of this machine, made hostile for a while."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
SYS_FSYNC = {"x86_64": 74, "aarch64": 82}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x0005_0000, 0x7FFF_0000
LOAD_NUMBER, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06


def mount(*arguments: str | Path) -> None:
    """Mount something; skips the test where that is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine does not mount it: {done.stderr.strip()}")


def unmount(path: Path) -> None:
    """Take a file system away, also from under open files."""
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def is_mounted(path: Path) -> bool:
    """Whether something is mounted there; `is_mount` does not see directories of the same disk."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return str(path) in {line.split()[1] for line in mounts}


@contextmanager
def tmpfs(path: Path, *options: str) -> Iterator[Path]:
    """A file system in memory at a path, with what was there before, of 1 MB unless said."""
    kept = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()} if path.exists() else {}
    path.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", ",".join(options or ("size=1m",)), "tmpfs", path)
    try:
        for name, content in kept.items():
            (path / name).write_bytes(content)
        yield path
    finally:
        unmount(path)


@contextmanager
def overcommitted_disk(path: Path, *, backing_dir: Path) -> Iterator[Path]:
    """An ext4 of 32 MB on a disk of 2 MB: writes succeed, and syncing them says "disk full"."""
    with tmpfs(backing_dir, "size=2m"):
        image = backing_dir / "image"
        with image.open("wb") as file:
            file.truncate(32 << 20)
        made = subprocess.run(
            ["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image)],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            pytest.skip(f"no ext4 can be made here: {made.stderr.strip()}")
        path.mkdir(parents=True, exist_ok=True)
        mount("-o", "loop", image, path)
        try:
            yield path
        finally:
            unmount(path)


def fill(directory: Path, *, spare_bytes: int = 0) -> Path:
    """Fill a small disk to the last byte, or but for a few; returns the file to delete."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
        file.truncate(max(0, file.tell() - spare_bytes))
    return filler


def give_away(directory: Path) -> None:
    """Make everything below a directory somebody else's, to be read and not to be changed."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)


def hide(path: Path) -> None:
    """Make a file or directory somebody else's, not to be looked into."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def forbid_syncing(error_number: int) -> None:
    """From now on the kernel answers every fsync of this process and its children with an error.

    To be called between fork and exec. It is how quotas of shared file systems show, which few
    machines have: the refusal is the kernel's, though its reason is not.
    """
    program = struct.pack("HBBI", LOAD_NUMBER, 0, 0, 0)
    program += struct.pack("HBBI", JUMP_IF_EQUAL, 0, 1, SYS_FSYNC[platform.machine()])
    program += struct.pack("HBBI", RETURN, 0, 0, SECCOMP_RET_ERRNO | error_number)
    program += struct.pack("HBBI", RETURN, 0, 0, SECCOMP_RET_ALLOW)
    buffer = ctypes.create_string_buffer(program)
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_program, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no seccomp filters here")


can_forbid_syncing = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in SYS_FSYNC,
    reason="the number of fsync is known for Linux on x86-64 and ARM only",
)
