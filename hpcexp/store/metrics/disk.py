"""Writing so that a crash tears nothing that was synced before."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcexp.errors import HpcexpError, SupersededError


def put_in_place(path: Path, content: bytes, *, check: Callable[[], None]) -> int:
    """Write a whole file aside, sync and rename it; its descriptor stays open for writing."""
    aside = path.with_name(path.name + ".tmp")
    with explain_disk_errors(path):
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_at(descriptor, content, offset=0)
            check()
            aside.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            aside.unlink(missing_ok=True)
            raise
    return descriptor


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
    """Turn what the disk refuses into HpcexpError: lost files mean a newer attempt."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            raise SupersededError(f"{path}: deleted, as a newer attempt owns the run") from error
        raise HpcexpError(
            f"{path}: cannot write metrics: {error.strerror}; free some space or quota, or mend "
            "the file system, then resume the run"
        ) from error
