"""Writing an archive: aside, read back, and only then under its name."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.archive.contents import Listing
from hpcexp.store.archive.manifest import (
    MANIFEST_NAME,
    ArchivedFile,
    DamagedArchiveError,
    Manifest,
    encode_manifest,
)
from hpcexp.store.archive.reading import read_archive
from hpcexp.store.archive.zstd import CompressionParameter, ZstdFile
from hpcexp.store.layout import ExperimentDir

LEVEL = 3  # parameters hardly compress, and text does at any level
_NUM_HASH_THREADS = 4
_NUM_COMPRESS_THREADS = 4
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

OnBytes = Callable[[int], None]
"""Told how many more bytes were gone through; each is, three times."""


def write_archive(
    experiment: ExperimentDir,
    listing: Listing,
    *,
    to: Path,
    states: Mapping[str, int],
    left_out: Listing,
    on_bytes: OnBytes = lambda _: None,
) -> Manifest:
    """Make the archive `to` of the files of a listing, and read all of it back.

    It has its name only once every checksum was found right on the disk.
    Raises UsageError where `to` exists or its directory does not, HpcexpError where a file
    changes meanwhile or the disk is full: nothing is kept then.
    """
    _check_target(to)
    files = _hash_files(experiment.path, listing, on_bytes)
    manifest = Manifest(
        name=experiment.name,
        archived=datetime.now().astimezone().isoformat(timespec="seconds"),
        hpcexp_version=metadata.version("hpcexp"),
        states=states,
        files=files,
        links=listing.links,
        num_files_left_out=len(left_out.files),
        num_bytes_left_out=left_out.num_bytes,
    )
    aside = to.with_name(f".{to.name}.{uuid.uuid4().hex[:8]}.tmp")
    with _explaining(to):
        try:
            _write(aside, manifest, experiment.path, on_bytes)
            _read_back(aside, to, on_bytes)
            _put_in_place(aside, to)
        finally:
            aside.unlink(missing_ok=True)
    return manifest


def _read_back(aside: Path, to: Path, on_bytes: OnBytes) -> None:
    try:
        read_archive(aside, on_bytes=on_bytes)
    except DamagedArchiveError as error:
        raise HpcexpError(
            f"{to}: what was written cannot be read back; no archive was made: {error}"
        ) from error


def _check_target(to: Path) -> None:
    if not to.parent.is_dir():
        raise UsageError(f"{to.parent}: no such directory; make it, or give another --to")
    if to.exists():
        raise _exists(to)


def _exists(to: Path) -> UsageError:
    return UsageError(f"{to}: exists already; delete it or move it away, or give another --to")


@contextmanager
def _explaining(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or to.parent
        raise HpcexpError(f"{where}: {error.strerror}; no archive was made") from error


def _hash_files(directory: Path, listing: Listing, on_bytes: OnBytes) -> tuple[ArchivedFile, ...]:
    def describe(item: tuple[str, os.stat_result]) -> ArchivedFile:
        path, found = item
        return ArchivedFile(
            path=path,
            num_bytes=found.st_size,
            mode=found.st_mode & 0o777,
            modified_ns=found.st_mtime_ns,
            sha256=_hash_file(directory / path),
        )

    files = []
    with ThreadPoolExecutor(_NUM_HASH_THREADS) as pool, _explaining(directory):
        for file in pool.map(describe, listing.files):
            on_bytes(file.num_bytes)
            files.append(file)
    return tuple(files)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(aside: Path, manifest: Manifest, directory: Path, on_bytes: OnBytes) -> None:
    options: dict[int, int] = {
        CompressionParameter.compression_level: LEVEL,
        CompressionParameter.checksum_flag: 1,
        CompressionParameter.nb_workers: min(_NUM_COMPRESS_THREADS, os.cpu_count() or 1),
    }
    with aside.open("xb") as raw:
        with (
            ZstdFile(raw, "w", options=options) as stream,
            tarfile.open(fileobj=stream, mode="w") as tar,
        ):
            content = encode_manifest(manifest)
            tar.addfile(_make_header(MANIFEST_NAME, len(content)), io.BytesIO(content))
            for file in manifest.files:
                _add(tar, file, manifest.name, directory / file.path)
                on_bytes(file.num_bytes)
        raw.flush()
        os.fsync(raw.fileno())


def _add(tar: tarfile.TarFile, file: ArchivedFile, name: str, path: Path) -> None:
    header = _make_header(f"{name}/{file.path}", file.num_bytes)
    header.mode = file.mode
    header.mtime = file.modified_ns // 10**9
    with path.open("rb") as content:
        hashed = _Hashed(content)
        try:
            tar.addfile(header, hashed)
        except OSError as error:
            if error.errno is None:  # shorter than its header says
                raise _changed(path) from error
            raise
    if hashed.hash.hexdigest() != file.sha256:
        raise _changed(path)


def _changed(path: Path) -> HpcexpError:
    return HpcexpError(f"{path}: changed while it was archived; no archive was made: try again")


def _make_header(name: str, num_bytes: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = num_bytes
    return header


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        self.hash.update(block)
        return block


def _put_in_place(aside: Path, to: Path) -> None:
    """Give an archive its name, unless another one has taken it meanwhile."""
    try:
        os.link(aside, to)
    except FileExistsError as error:
        raise _exists(to) from error
    except OSError as error:  # some shared file systems have no hard links
        if error.errno not in NO_LINKS:
            raise
        if to.exists():
            raise _exists(to) from error
        aside.rename(to)
    sync_directory(to.parent)


def sync_directory(directory: Path) -> None:
    """Make names as lasting as contents: what follows may delete the original."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
