"""Decoded images of a directory, kept as one array, so that they are decoded once.

    <cache>/images/<hash of what was read and how>/ images.npy  entry.json

The hash is of the files (their places, sizes and times of change) and of the settings: other
files are another entry. The cache is never the truth: what is missing or damaged is decoded
again, and where nothing can be written a run goes on without it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcexp.workloads.cache_dir import (
    CACHE_DIR_VARIABLE,
    default_cache_dir,
    hash_file,
    lock_directory,
)
from hpcexp.workloads.images.config import ImageFolder
from hpcexp.workloads.images.folder import Read, read_images, warn_of_broken

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_IMAGES, _RECORD, _ASIDE = "images.npy", "entry.json", ".aside-"


def read_images_once(
    paths: Sequence[Path],
    *,
    count: int,
    settings: ImageFolder,
    wanted_for: str,
    cache_dir: Path | None = None,
) -> Read:
    """What `read_images` gives, from the cache where it has been read before.

    Images of the cache are mapped: processes of a node share their memory. Files that could not
    be read are named again. Raises UsageError as `read_images` does.
    """

    def read() -> Read:
        return read_images(paths, count=count, settings=settings, wanted_for=wanted_for)

    try:
        key_dir = (cache_dir or default_cache_dir()) / "images" / _hash(paths, count, settings)
        found = _find(key_dir)
        if found is None:
            with lock_directory(key_dir):
                # Another process may have read them while this one waited.
                found = _find(key_dir) or _keep(key_dir, read())
    except OSError as error:
        logger.warning(
            "the cache of images cannot be used (%s): they are decoded; set %s to a directory "
            "that can be written",
            error,
            CACHE_DIR_VARIABLE,
        )
        return read()
    warn_of_broken(found.broken)
    return found


def _hash(paths: Sequence[Path], count: int, settings: ImageFolder) -> str:
    """Of all files, in their order: a broken one lets the next one in."""
    stats = [(str(path.absolute()), path.stat()) for path in paths]
    files = [(name, found.st_size, found.st_mtime_ns) for name, found in stats]
    how = settings.model_dump(mode="json", exclude={"path", "validate_path", "seed"})
    text = json.dumps([FORMAT_VERSION, how, count, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _find(key_dir: Path) -> Read | None:
    """The entry; None where there is none, and, with a warning, where it is damaged."""
    try:
        record = json.loads((key_dir / "entry" / _RECORD).read_text(encoding="utf-8"))
        path = key_dir / "entry" / _IMAGES
        if record["sha256"] != hash_file(path):
            raise ValueError(f"its array differs from {_RECORD}")
        # Copy on write: torch wants arrays that it could write into.
        images = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        return Read(images, tuple(record["places"]), tuple(record["broken"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("cache entry %s is damaged (%s): decoded again", key_dir, error)
        return None


def _keep(key_dir: Path, read: Read) -> Read:
    """Write an entry aside and give it its name; under the lock."""
    for leftover in key_dir.glob(f"{_ASIDE}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    aside_dir = key_dir / f"{_ASIDE}{secrets.token_hex(8)}"
    try:
        aside_dir.mkdir()
        np.save(aside_dir / _IMAGES, read.images, allow_pickle=False)
        record: dict[str, Any] = {
            "sha256": hash_file(aside_dir / _IMAGES),
            "places": read.places,
            "broken": read.broken,
        }
        (aside_dir / _RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        shutil.rmtree(key_dir / "entry", ignore_errors=True)  # a damaged one
        aside_dir.replace(key_dir / "entry")
    except OSError as error:
        shutil.rmtree(aside_dir, ignore_errors=True)
        logger.warning("decoded images could not be kept in %s: %s", key_dir, error)
    return read
