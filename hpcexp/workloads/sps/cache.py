"""A cache on disk of the sequences of the sps workload.

A cache entry is a directory that never changes once it has its name:

    <cache>/sps/<hash of settings, split and format>/128/
        images.npy  positions.npy  entry.json (what it is, and checksums)

The cache is never the truth: what is missing, damaged or cannot be written is drawn again.
Smaller entries are left in place when a larger one is made, because a process on another
node may have them mapped, and a file system over the network takes a deleted file from it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.cache_dir import (
    CACHE_DIR_VARIABLE,
    default_cache_dir,
    hash_file,
    lock_directory,
)
from hpcexp.workloads.sps.config.datasets import Dataset
from hpcexp.workloads.sps.dataset import FORMAT_VERSION, Sequences, Split, draw_sequences

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 600.0

_IMAGES, _POSITIONS, _RECORD = "images.npy", "positions.npy", "entry.json"
_ASIDE = ".aside-"


def load_sequences(
    settings: Dataset,
    *,
    split: Split,
    num_sequences: int,
    cache_dir: Path | None = None,
) -> Sequences:
    """The first `num_sequences` of a split, from the cache or drawn and put into it.

    `cache_dir` is `default_cache_dir()` where not given. A cache that cannot be used costs
    time and a warning, never the sequences.

    Raises UsageError where the settings let next to no sequence pass.
    """
    request = _Request(settings=settings, split=split, num_sequences=num_sequences)
    try:
        return _load_through_cache(request, cache_dir or default_cache_dir())
    except OSError as error:
        _warn_unusable(error)
        return request.draw()


@dataclass(frozen=True)
class _Request:
    """What is asked for."""

    settings: Dataset
    split: Split
    num_sequences: int

    def describe(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "settings": self.settings.model_dump(mode="json"),
            "split": self.split,
        }

    def digest(self) -> str:
        canonical = json.dumps(self.describe(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def draw(self, first: Sequences | None = None) -> Sequences:
        return draw_sequences(
            self.settings, split=self.split, num_sequences=self.num_sequences, first=first
        )


def _load_through_cache(request: _Request, cache_dir: Path) -> Sequences:
    key_dir = cache_dir / "sps" / request.digest()
    # Looking needs no lock and no right to write: a shared cache may be read-only.
    if found := _find(request, key_dir):
        return found
    with lock_directory(key_dir, timeout_s=LOCK_TIMEOUT_S):
        # Another process may have drawn them while this one waited.
        return _find(request, key_dir) or _draw_into(key_dir, request)


def _find(request: _Request, key_dir: Path) -> Sequences | None:
    """The sequences from the smallest sound entry that has enough of them."""
    for count in _list_counts(key_dir):
        if count >= request.num_sequences and (entry := _read_entry(request, key_dir, count)):
            wanted = slice(request.num_sequences)
            return Sequences(images=entry.images[wanted], positions=entry.positions[wanted])
    return None


def _draw_into(key_dir: Path, request: _Request) -> Sequences:
    """Draw what no entry holds, and keep it; under the lock."""
    smaller = (n for n in reversed(_list_counts(key_dir)) if n < request.num_sequences)
    first = next(filter(None, (_read_entry(request, key_dir, n) for n in smaller)), None)
    sequences = request.draw(first)
    logger.info("drew %d %s sequences for %s", request.num_sequences, request.split, key_dir)
    try:
        _write_entry(request, key_dir, sequences)
    except OSError as error:
        _warn_unusable(error)
        return sequences
    # Mapped, they share their pages with the other processes of the node.
    return _find(request, key_dir) or sequences


def _list_counts(key_dir: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in key_dir.iterdir() if path.name.isdecimal())
    except FileNotFoundError:
        return []


def _read_entry(request: _Request, key_dir: Path, count: int) -> Sequences | None:
    """Map an entry's arrays; None, with a warning, where it is not what was written."""
    entry_dir = key_dir / str(count)
    try:
        record = json.loads((entry_dir / _RECORD).read_text(encoding="utf-8"))
        if record != _make_record(request, entry_dir, count):
            raise ValueError(f"its files differ from {_RECORD}")
        return Sequences(images=_map(entry_dir / _IMAGES), positions=_map(entry_dir / _POSITIONS))
    except (OSError, ValueError) as error:
        logger.warning("cache entry %s is damaged (%s): drawn again", entry_dir, error)
        return None


def _map(path: Path) -> npt.NDArray[Any]:
    # Copy on write: torch wants arrays that it could write into, and the file stays as it is.
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def _make_record(request: _Request, entry_dir: Path, count: int) -> dict[str, Any]:
    checksums = {name: hash_file(entry_dir / name) for name in (_IMAGES, _POSITIONS)}
    return {**request.describe(), "num_sequences": count, "sha256": checksums}


def _write_entry(request: _Request, key_dir: Path, sequences: Sequences) -> None:
    """Write an entry aside and give it its name; a damaged one of that name makes way.

    Nothing is flushed to the disk: what a power cut leaves behind fails its checksum.
    """
    # Only the holder of the lock writes: what lies aside was left by a process that died.
    for leftover in key_dir.glob(f"{_ASIDE}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    count = request.num_sequences
    aside_dir = key_dir / f"{_ASIDE}{secrets.token_hex(8)}"
    try:
        aside_dir.mkdir()
        np.save(aside_dir / _IMAGES, sequences.images, allow_pickle=False)
        np.save(aside_dir / _POSITIONS, sequences.positions, allow_pickle=False)
        record = json.dumps(_make_record(request, aside_dir, count), indent=2)
        (aside_dir / _RECORD).write_text(record + "\n", encoding="utf-8")
        _remove_entry(key_dir / str(count))
        aside_dir.replace(key_dir / str(count))
    except OSError:
        shutil.rmtree(aside_dir, ignore_errors=True)
        raise


def _remove_entry(entry_dir: Path) -> None:
    if entry_dir.exists():
        aside_dir = entry_dir.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
        entry_dir.replace(aside_dir)
        shutil.rmtree(aside_dir, ignore_errors=True)


def _warn_unusable(error: OSError) -> None:
    logger.warning(
        "the cache of sequences cannot be used (%s): drawn in memory; "
        "set %s to a directory that can be written",
        error,
        CACHE_DIR_VARIABLE,
    )
