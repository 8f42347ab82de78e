"""Which checkpoints a run has, and which one an attempt continues from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hpcexp.store.layout import RunDir

KEPT = 2


def list_checkpoints(run_dir: RunDir) -> list[Path]:
    """Checkpoints, newest attempt and highest step first.

    Raises OSError where the directory is there and cannot be listed, which glob would take for
    an empty one: the run would begin again from its first step.
    """
    try:
        paths = list(run_dir.checkpoints_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((p for p in paths if p.match("attempt_*_step_*.pt")), reverse=True)


def find_newest_step(run_dir: RunDir) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max(map(read_step, list_checkpoints(run_dir)[:1]), default=0)


def read_step(path: Path) -> int:
    """How many steps were done when a checkpoint was made, by its name."""
    return int(path.stem.rpartition("_")[2])


def claim_checkpoint(run_dir: RunDir, path: Path, *, attempt: int, step: int) -> None:
    """Give a checkpoint that an attempt continues from to that attempt as well.

    From then on it is newer than anything that an older attempt, still alive somewhere,
    may write.
    """
    claimed = run_dir.checkpoint_path(attempt=attempt, step=step)
    if claimed.exists():
        return
    try:
        os.link(path, claimed)
    except OSError:  # some shared file systems have no hard links
        aside = claimed.with_name(f".{claimed.name}.tmp")
        shutil.copyfile(path, aside)
        aside.replace(claimed)


def remove_old_checkpoints(run_dir: RunDir) -> None:
    """Keep the last two, the newer of which might be damaged.

    What attempts that were killed in the middle of a write left goes as well, so call this
    as the owner only.
    """
    for path in [*list_checkpoints(run_dir)[KEPT:], *run_dir.checkpoints_dir.glob(".*.tmp")]:
        path.unlink(missing_ok=True)


def claim_own_checkpoints(run_dir: RunDir, *, attempt: int) -> Path:
    """The directory for what the training of an attempt saves by itself.

    That of the attempt before it is given a new name: a process of that attempt, should it
    still be alive somewhere, can then write no file of a name that the new one reads.
    """
    claimed = run_dir.own_checkpoints_dir(attempt)
    earlier = run_dir.list_own_checkpoints_dirs()
    if earlier and not claimed.exists():
        earlier[-1].rename(claimed)
    claimed.mkdir(parents=True, exist_ok=True)
    return claimed
