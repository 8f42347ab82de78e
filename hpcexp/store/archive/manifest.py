"""What an archive says it holds, and why not all of that is to be believed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.files import build_record

FORMAT = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 512 * 2**20  # two million files; what is larger is no manifest


class DamagedArchiveError(UsageError):
    """An archive is truncated or damaged, or was made to do harm."""


@dataclass(frozen=True)
class ArchivedFile:
    """One file: its place in the experiment, with slashes, and what it must contain."""

    path: str
    num_bytes: int
    mode: int
    modified_ns: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds, in the order in which it lies there.

    `states` counts the runs by state. `links` are symbolic links and where they point; the
    archive itself holds files only. What was left out are checkpoints.
    """

    name: str
    archived: str
    hpcexp_version: str
    states: Mapping[str, int]
    files: tuple[ArchivedFile, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    num_files_left_out: int = 0
    num_bytes_left_out: int = 0
    format: int = FORMAT

    @property
    def num_bytes(self) -> int:
        """Bytes of all files, uncompressed."""
        return sum(file.num_bytes for file in self.files)


def encode_manifest(manifest: Manifest) -> bytes:
    """As it lies in the archive: JSON, a file a line."""
    values = dict(vars(manifest))
    files = ",\n".join(f"  {json.dumps(vars(file))}" for file in values.pop("files"))
    head = json.dumps(values, indent=1).removesuffix("\n}")
    return f'{head},\n "files": [\n{files}\n ]\n}}\n'.encode()


def decode_manifest(content: bytes, *, archive: Path) -> Manifest:
    """What `encode_manifest` gave.

    Raises DamagedArchiveError where it is damaged or names places outside of the experiment,
    UsageError where a newer hpcexp made it.
    """
    try:
        values = json.loads(content)
        version = values["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedArchiveError(f"{archive}: damaged in {MANIFEST_NAME} ({error})") from error
    if version != FORMAT:
        raise UsageError(
            f"{archive}: archive format {version!r} is not known to this version (it reads "
            f"{FORMAT}): use the hpcexp that made it, or a newer one"
        )
    try:
        return _build(values, archive)
    except DamagedArchiveError:
        raise
    except (HpcexpError, TypeError, ValueError) as error:
        raise DamagedArchiveError(f"{archive}: damaged in {MANIFEST_NAME} ({error})") from error


def _build(values: dict[str, Any], archive: Path) -> Manifest:
    manifest = build_record(values, Manifest, path=archive)
    files = tuple(build_record(value, ArchivedFile, path=archive) for value in manifest.files)
    manifest = dataclasses.replace(manifest, files=files)
    if not _is_plain_name(manifest.name):
        raise DamagedArchiveError(f"{archive}: refused: {manifest.name!r} is no experiment's name")
    seen: set[str] = set()
    for path in [*(file.path for file in files), *manifest.links]:
        if not is_safe(path) or path in seen:
            why = "names this place twice" if path in seen else "leads out of the experiment"
            raise DamagedArchiveError(f"{archive}: refused: {path!r} {why}")
        seen.add(path)
    for file in files:
        if not (isinstance(file.num_bytes, int) and file.num_bytes >= 0):
            raise ValueError(f"size of {file.path}: {file.num_bytes!r}")
        if not (isinstance(file.mode, int) and isinstance(file.modified_ns, int)):
            raise ValueError(f"mode or time of {file.path}")
    return manifest


def _is_plain_name(name: object) -> bool:
    return is_safe(name) and isinstance(name, str) and "/" not in name and name[0] not in ".-"


def is_safe(path: object) -> bool:
    """Whether a path stays below the directory that it is relative to."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    # As written, not as pathlib cleans it up: `a//b` and `./a` are other spellings of one place.
    return all(part not in ("", ".", "..") for part in path.split("/"))


def is_safe_link(path: str, target: object) -> bool:
    """Whether a link points to a place in the experiment, whatever other links there are.

    Steps upwards come first, and no more of them than there are directories to go up.
    """
    if not isinstance(target, str) or not target or "\0" in target or target.startswith("/"):
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    num_up = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return ".." not in parts[num_up:] and num_up <= len(PurePosixPath(path).parent.parts)
