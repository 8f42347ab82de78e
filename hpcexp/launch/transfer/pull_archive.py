"""Fetching an experiment that is one file on the other machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.transfer.remote import Remote
from hpcexp.launch.transfer.rsync import copy_file
from hpcexp.store.archive.names import SUFFIX
from hpcexp.store.archive.reading import read_archive
from hpcexp.store.layout import PULLING_NAME, ExperimentDir
from hpcexp.store.locks import LockedError, locked


def pull_archive(remote: Remote, path: str, *, experiments_dir: Path) -> ExperimentDir:
    """Copy an archive, and give it its name once every checksum in it was verified.

    Raises UsageError where the experiment is here already, HpcexpError where copying fails or what
    came is damaged: then nothing is changed.
    """
    file_name = path.rpartition("/")[2]
    final = ExperimentDir(
        experiments_dir / file_name.removesuffix(SUFFIX), archive=experiments_dir / file_name
    )
    for there in (final.path, final.place):
        if there.exists():
            raise UsageError(
                f"{there}: is here already, and an archive does not change; remove it to fetch it "
                "anew, or choose another directory with --experiments-dir"
            )
    aside = experiments_dir / PULLING_NAME / file_name
    aside.parent.mkdir(parents=True, exist_ok=True)
    lock = aside.with_name(f"{file_name}.lock")
    try:
        with locked(lock, timeout_s=0.0):
            try:
                copy_file(remote.spell(path), str(aside), ssh=remote.ssh)
                _check(aside, final.name)
                aside.rename(final.place)
            finally:
                lock.unlink(missing_ok=True)
    except LockedError as error:
        raise HpcexpError(
            f"{file_name}: another hpcexp pull fetches it at this moment; wait for that"
        ) from error
    with suppress(OSError):  # it holds what another pull has begun
        aside.parent.rmdir()
    return final


def _check(archive: Path, name: str) -> None:
    """Read all of it; what is damaged goes, since going on from there would not mend it."""
    try:
        manifest = read_archive(archive)
        if manifest.name != name:
            raise HpcexpError(f"{archive.name}: is the archive of {manifest.name}, by its contents")
    except HpcexpError:
        archive.unlink(missing_ok=True)
        raise
