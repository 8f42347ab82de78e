"""Making the directory of an archived experiment again."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.archive.manifest import Manifest, is_safe_link
from hpcexp.store.archive.reading import read_archive, read_manifest
from hpcexp.store.experiment import TAKEN
from hpcexp.store.layout import UNFINISHED_PREFIX, ExperimentDir


@dataclass(frozen=True)
class Restored:
    """The directory, and links that were not made again since they point out of it."""

    experiment: ExperimentDir
    manifest: Manifest
    links_left_out: dict[str, str]


def restore_archive(
    archive: Path,
    *,
    directory: Path,
    on_total: Callable[[int], None] = lambda _: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Restored:
    """Make the experiment's directory in `directory`, under the name that it had.

    It is written aside, every checksum is verified, and then renamed: it exists whole or not
    at all, and never in the place of another.
    Raises UsageError where there is one of that name, or no room; DamagedArchiveError.
    """
    manifest = read_manifest(archive)
    final = ExperimentDir(directory / manifest.name)
    if final.path.exists() or final.path.is_symlink():
        raise _exists(final)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; make it, or give another --to")
    _check_room(manifest, directory)
    on_total(manifest.num_bytes)
    aside = directory / f"{UNFINISHED_PREFIX}{uuid.uuid4().hex[:12]}"
    try:
        aside.mkdir()
        read_archive(archive, into=aside, on_bytes=on_bytes)
        left_out = _make_links(manifest, aside)
        aside.rename(final.path)
    except OSError as error:
        if error.errno in TAKEN and final.path.exists():
            raise _exists(final) from error
        where = error.filename or directory
        raise HpcexpError(f"{where}: {error.strerror}; nothing was restored") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Restored(final, manifest, left_out)


def _exists(final: ExperimentDir) -> UsageError:
    return UsageError(
        f"{final.path}: exists already, and is left as it is; restore elsewhere with --to DIRECTORY"
    )


def _check_room(manifest: Manifest, directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if manifest.num_bytes > free:
        raise UsageError(
            f"{directory}: has {free / 1e9:.1f} GB of room, and the experiment needs "
            f"{manifest.num_bytes / 1e9:.1f} GB; make room, or give another --to"
        )


def _make_links(manifest: Manifest, directory: Path) -> dict[str, str]:
    """Make links last, so that no file is ever written through one; those that lead out are not."""
    safe = {path: to for path, to in manifest.links.items() if is_safe_link(path, to)}
    for path in safe:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
    for path, target in safe.items():
        (directory / path).symlink_to(target)
    return {path: str(to) for path, to in manifest.links.items() if path not in safe}
