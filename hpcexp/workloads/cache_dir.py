"""Where caches of data are, and how processes take turns in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

CACHE_DIR_VARIABLE = "HPCEXP_CACHE_DIR"


def default_cache_dir() -> Path:
    """`$HPCEXP_CACHE_DIR`, else `$XDG_CACHE_HOME/hpcexp`, else `~/.cache/hpcexp`.

    Raises FileNotFoundError where none of the three is known.
    """
    if chosen := os.environ.get(CACHE_DIR_VARIABLE):
        return Path(chosen).absolute()
    # The XDG base directory specification: a relative path is to be ignored.
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "hpcexp"
    try:
        return Path.home() / ".cache" / "hpcexp"
    except RuntimeError as error:
        raise FileNotFoundError("no home directory is known") from error


@contextmanager
def lock_directory(key_dir: Path, *, timeout_s: float = 600.0) -> Iterator[None]:
    """Make a directory and hold it; others wait.

    Raises OSError where that cannot be; a filelock.Timeout, after so long, is one.
    """
    key_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(key_dir / "lock", timeout=timeout_s)
    try:
        lock.acquire()
    except NotImplementedError as error:  # so says filelock where there is no flock
        raise OSError(f"{key_dir}: the file system has no locks") from error
    try:
        yield
    finally:
        lock.release()


def hash_file(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
