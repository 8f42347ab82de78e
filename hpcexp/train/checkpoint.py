"""Checkpoints as files: written whole or not at all, verified when read, never unpickled."""

from __future__ import annotations

import errno
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import torch

from hpcexp.errors import HpcexpError
from hpcexp.train.sink import Checkpoint

FORMAT = 1


class DamagedCheckpointError(HpcexpError):
    """A checkpoint file that cannot be read back: truncated, corrupt or of a newer format."""


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write beside, flush to disk, rename: a reader sees the old file or the new one.

    Raises OSError where the file system refuses.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            _save({"format": FORMAT, **checkpoint}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # a file system that is away: what counts is the error above
            aside.unlink(missing_ok=True)


def _save(values: Checkpoint, file: BinaryIO) -> None:
    """Torch calls a full disk a RuntimeError of unexpected positions: say what it was."""
    try:
        torch.save(values, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; only tensors and plain values are accepted.

    Raises DamagedCheckpointError where the file is not a whole checkpoint, OSError where the
    file system does not give it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise DamagedCheckpointError(f"{path}: checksum of {damaged} does not match")
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (DamagedCheckpointError, MemoryError):
        raise
    except Exception as error:
        # zipfile and pickle answer damage with almost any exception; EINVAL is a seek to a
        # place that a damaged table of contents names.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpointError(f"{path}: not a whole checkpoint ({first})") from error
    if checkpoint.pop("format", None) != FORMAT:
        raise DamagedCheckpointError(f"{path}: written by another version of hpcexp")
    return checkpoint
