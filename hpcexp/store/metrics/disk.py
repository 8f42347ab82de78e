"""Writing so that a crash tears nothing that was synced before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from hpcexp.errors import StorageError


def put_in_place(
    path: Path, content: bytes, *, check: Callable[[], None], replaces: bool = False
) -> int:
    """Write a whole file aside, sync and rename it; its descriptor stays open for writing.

    Where that fails there is neither of the two files, so that it can be tried again; or, where
    it `replaces` a file, the old one.
    """
    aside = path.with_name(path.name + ".tmp")
    with explain_disk_errors(path):
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_at(descriptor, content, offset=0)
            check()
            aside.replace(path)
            # A crash may bring back what was replaced, which whoever replaces it can bear.
            with suppress(OSError) if replaces else nullcontext():
                _sync_directory(path.parent)
        except BaseException:
            for made in (aside,) if replaces else (aside, path):
                with suppress(OSError):
                    made.unlink(missing_ok=True)
            os.close(descriptor)
            raise
    return descriptor


def open_again(path: Path) -> int:
    """A new descriptor of a file in place; a network file system may have given up the old one."""
    with explain_disk_errors(path):
        return os.open(path, os.O_WRONLY)


def write_at(descriptor: int, content: bytes, *, offset: int) -> None:
    """Write all of `content` at `offset` and sync; doing it again after a failure is safe."""
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:], offset + done)
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot write metrics: {error.strerror}; free some space or quota, or mend "
            "the file system, then resume the run"
        ) from error
