"""Going through an archive once, believing nothing that its manifest does not name."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.archive.contents import Part, find_part
from hpcexp.store.archive.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    ArchivedFile,
    DamagedArchiveError,
    Manifest,
    decode_manifest,
)
from hpcexp.store.archive.zstd import ZstdError, ZstdFile

BLOCK_BYTES = 2**20
TAR_BLOCK_BYTES = 2**16  # tarfile copies what it has buffered with every read

# What zstd and tarfile raise over bytes that nobody wrote.
_DAMAGE = (EOFError, ZstdError, tarfile.TarError, ValueError, OverflowError)


def read_manifest(archive: Path) -> Manifest:
    """What an archive says it holds; reads no further than that.

    Raises DamagedArchiveError, or UsageError for what is no archive.
    """
    try:
        with _going_through(archive) as members:
            return members.manifest
    except OSError as error:
        raise HpcexpError(f"{archive}: cannot be read ({error.strerror})") from error


def read_archive(
    archive: Path,
    *,
    into: Path | None = None,
    parts: Collection[Part] | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Manifest:
    """Check every file of an archive, and write it below `into` if that is given.

    With `parts` only those, and nothing that lies behind them is looked at.
    Raises DamagedArchiveError with the name of the first file that is not as the manifest
    says, OSError where `into` cannot be written.
    """
    with _going_through(archive) as members:
        files = members.manifest.files
        wanted = [parts is None or find_part(file.path) in parts for file in files]
        num_read = max((i + 1 for i, is_wanted in enumerate(wanted) if is_wanted), default=0)
        folders: set[str] = set()
        for file, is_wanted in zip(files[:num_read], wanted, strict=False):
            content = members.step_to(file)
            if is_wanted:
                if into is not None:
                    _make_folder(file, into, folders)
                members.check(file, _copy(content, file, into))
                on_bytes(file.num_bytes)
        if parts is None:
            members.end()
        return members.manifest


@contextmanager
def _going_through(archive: Path) -> Iterator[_Members]:
    """Open an archive and read its manifest; within, damage is said to be where reading is."""
    place: list[str] = []
    try:
        raw = archive.open("rb")
    except OSError as error:
        raise UsageError(f"{archive}: cannot be read ({error.strerror})") from error
    try:
        with raw, ZstdFile(raw) as stream, _open_tar(stream) as tar:
            yield _Members(archive, stream, tar, place)
    except _DAMAGE as error:
        is_short = isinstance(error, EOFError) or "unexpected end of data" in str(error)
        if not place:
            what = "is truncated" if is_short else "is no archive of hpcexp, or damaged"
            raise DamagedArchiveError(f"{archive}: {what} at its beginning ({error})") from error
        what = "truncated, it ends in" if is_short else "damaged in"
        raise DamagedArchiveError(
            f"{archive}: {what} {place[-1]} ({error}); fetch it again from where it came"
        ) from error


def _open_tar(stream: ZstdFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|", bufsize=TAR_BLOCK_BYTES)


class _Members:
    """The members of an archive, one after another; `place` holds those that were come to."""

    def __init__(
        self, archive: Path, stream: ZstdFile, tar: tarfile.TarFile, place: list[str]
    ) -> None:
        self.archive, self.stream, self.tar, self.place = archive, stream, tar, place
        self.manifest = self._read_manifest()

    def _read_manifest(self) -> Manifest:
        member = self.tar.next()
        if member is None or member.name != MANIFEST_NAME or not member.isreg():
            raise ValueError(f"its first member is no {MANIFEST_NAME}")
        if member.size > MAX_MANIFEST_BYTES:
            raise ValueError(f"its manifest has {member.size} bytes")
        content = self._open(member).read()
        self.place.append(MANIFEST_NAME)
        try:
            return decode_manifest(content, archive=self.archive)
        except UsageError:  # of another version, or its number is damaged: the end tells
            self._read_to_end()
            raise

    def _open(self, member: tarfile.TarInfo) -> IO[bytes]:
        file = self.tar.extractfile(member)
        assert file is not None  # it is a regular one
        return file

    def step_to(self, file: ArchivedFile) -> IO[bytes]:
        """The content of the next member, which must be what the manifest names next."""
        self.place.append(file.path)
        member = self.tar.next()
        if member is None:
            raise EOFError("the rest is missing")
        if member.name != f"{self.manifest.name}/{file.path}":
            raise self._make_error(f"{member.name!r} lies where it should be")
        if not member.isreg():
            raise self._make_error("it is a link or a device, not a file")
        if member.size != file.num_bytes:
            raise self._make_error(f"{member.size} bytes where {file.num_bytes} should be")
        return self._open(member)

    def check(self, file: ArchivedFile, sha256: str) -> None:
        """Raise DamagedArchiveError where a file's checksum is not the manifest's."""
        if sha256 != file.sha256:
            raise self._make_error("its content is not what it was (SHA-256)")

    def end(self) -> None:
        """Nothing may follow. The last bytes are the checksum of the whole, the manifest's too."""
        extra = self.tar.next()
        if extra is not None:
            raise self._make_error(f"followed by {extra.name!r}, which the manifest does not name")
        self._read_to_end()

    def _read_to_end(self) -> None:
        while self.stream.read(BLOCK_BYTES):
            pass

    def _make_error(self, what: str) -> DamagedArchiveError:
        return DamagedArchiveError(f"{self.archive}: damaged in {self.place[-1]}: {what}")


def _make_folder(file: ArchivedFile, into: Path, made: set[str]) -> None:
    """Files of one folder lie together, and asking the disk takes longer than remembering."""
    folder = file.path.rpartition("/")[0]
    if folder not in made:
        (into / folder).mkdir(parents=True, exist_ok=True)
        made.add(folder)


def _copy(content: IO[bytes], file: ArchivedFile, into: Path | None) -> str:
    """The checksum of what was read, and written if there is a place for it."""
    if into is None:
        return _hash(content, write=lambda _: None)
    target = into / file.path
    # Exclusively: nothing that is there already, a link least of all, is written through.
    with target.open("xb") as output:
        found = _hash(content, write=output.write)
        os.fchmod(output.fileno(), file.mode & 0o777 | 0o400)
    os.utime(target, ns=(file.modified_ns, file.modified_ns))
    return found


def _hash(content: IO[bytes], *, write: Callable[[bytes], object]) -> str:
    digest = hashlib.sha256()
    while block := content.read(BLOCK_BYTES):
        digest.update(block)
        write(block)
    return digest.hexdigest()
