"""Reading an archived experiment in place, as if its directory were there."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.store.archive.contents import READ_IN_PLACE, Part
from hpcexp.store.archive.reading import read_archive, read_manifest
from hpcexp.store.layout import ExperimentDir


def open_archive(archive: Path, *, parts: frozenset[Part] = READ_IN_PLACE) -> ExperimentDir:
    """An experiment that can be read: what `status`, `logs` and `plot` look at, or other `parts`
    of it, lies in a temporary directory until this process ends. Checkpoints stay where they are.

    Raises DamagedArchiveError where one of these files is damaged.
    """
    path = archive.resolve()
    found = path.stat()
    return ExperimentDir(_unpack(path, found.st_mtime_ns, found.st_size, parts), archive=archive)


@functools.cache
def _unpack(archive: Path, _modified_ns: int, _num_bytes: int, parts: frozenset[Part]) -> Path:
    """Once for each process and archive; time and size tell it from another of its name."""
    manifest = read_manifest(archive)
    try:
        directory = Path(tempfile.mkdtemp(prefix="hpcexp-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        place = directory / manifest.name
        place.mkdir()
        read_archive(archive, into=place, parts=parts)
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        raise HpcexpError(
            f"{where}: {error.strerror}; {archive.name} is unpacked there to be read: make room, "
            "or set TMPDIR to another directory"
        ) from error
    return place
