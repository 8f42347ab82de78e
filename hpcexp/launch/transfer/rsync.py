"""Calls of rsync: what of an experiment goes along, and what is said where it fails."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.layout import ExperimentDir

VANISHED = 24
"""rsync's exit code where files went while it read: runs replace theirs all the time."""
TIMEOUT_S = 120

# Locks, claims and what is being written mean nothing elsewhere; see store/archive/contents.py.
TRANSIENT = (
    *(".lock", ".*.lock", ".*lock.held", ".claim.*", ".*.tmp", "metrics.*.bin.tmp"),
    *(".making-*", ".removing-*", "/copied_from.json"),
)
PARAMETERS = ("/runs/*/checkpoints/", "/runs/*/kept/", "/runs/*/forensics.pt")
WRITTEN_BY_PEOPLE = ("notes", "plots", "eval", "export")
"""Directories of an experiment that a copy may add to."""


def copy_tree(
    source: str,
    target: str,
    *,
    ssh: Sequence[str] = (),
    with_checkpoints: bool = True,
    link_to: str = "",
    adds: bool = False,
) -> None:
    """Make `target` equal to `source`; both end in a slash, one may be on another machine.

    Files that are the same in `link_to` are linked rather than sent. With `adds` nothing is
    deleted, and of a file on both sides the newer one stays. What an interrupted call left is used.
    Raises HpcexpError where that fails, UsageError where there is no rsync.
    """
    left_out = [*TRANSIENT, *(() if with_checkpoints else PARAMETERS)]
    command = [
        *("rsync", "--recursive", "--links", "--perms", "--times", "--secluded-args", "--partial"),
        *(["--update"] if adds else ["--delete", "--delete-excluded"]),
        *([f"--rsh={shlex.join(ssh)}", f"--timeout={TIMEOUT_S}"] if ssh else []),
        *([f"--link-dest={link_to}"] if link_to else []),
        *(f"--exclude={pattern}" for pattern in left_out),
        *(["--info=progress2"] if sys.stderr.isatty() else []),
        *("--", source, target),
    ]
    shown = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=shown, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError as error:
        raise UsageError("there is no rsync on this machine: install it, here and there") from error
    if done.returncode not in (0, VANISHED):
        raise HpcexpError(_explain(done.returncode, done.stderr or ""))


def list_additions(experiment: ExperimentDir) -> list[str]:
    """Directories of a copy that may hold what its origin has not."""
    return [name for name in WRITTEN_BY_PEOPLE if (experiment.path / name).is_dir()]


def _explain(code: int, stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # The last line only says that there was an error; the first says which.
    said = next((line for line in lines if not line.startswith("rsync error")), f"exit code {code}")
    return (
        f"rsync failed: {said}; nothing was changed. What had come is kept: the same command goes "
        "on from there"
    )
