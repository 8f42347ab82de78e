"""The directory of experiments, and a scratch directory on its file system to try things in."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from functools import cached_property
from pathlib import Path

SCRATCH_PREFIX = ".hpcexp-doctor-"
STALE_S = 86400.0


class Place:
    """Where experiments are, or would be made.

    The directory need not exist: then things are tried in the nearest one above that does, so
    that the doctor leaves nothing behind.
    """

    def __init__(self, experiments_dir: Path) -> None:
        # Not resolved through symlinks: compute nodes may mount a file system elsewhere.
        self.experiments_dir = Path(os.path.abspath(experiments_dir))  # noqa: PTH100
        self._token = uuid.uuid4().hex[:12]

    @cached_property
    def base_dir(self) -> Path:
        """The directory itself, or the nearest one above it that exists."""
        paths = (self.experiments_dir, *self.experiments_dir.parents)
        return next(path for path in paths if os.path.lexists(path))

    @property
    def scratch_dir(self) -> Path:
        """A directory of this doctor's own; `make_scratch` makes it."""
        return self.base_dir / f"{SCRATCH_PREFIX}{self._token}"

    def make_scratch(self) -> None:
        """Make the scratch directory, and remove those that killed doctors left long ago.

        Raises OSError where that cannot be.
        """
        self.scratch_dir.mkdir()
        for path in self.base_dir.glob(f"{SCRATCH_PREFIX}*"):
            if path != self.scratch_dir and time.time() - path.lstat().st_mtime > STALE_S:
                shutil.rmtree(path, ignore_errors=True)

    def make_room(self, name: str) -> Path:
        """A directory for one check, so that checks that run side by side do not meet."""
        room = self.scratch_dir / name
        room.mkdir()
        return room

    def remove_scratch(self) -> None:
        """Remove the scratch directory and what is in it."""
        shutil.rmtree(self.scratch_dir, ignore_errors=True)
