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
        *("--recursive", "--links", "--perms"),
        *(["--update"] if adds else ["--delete", "--delete-excluded"]),
        *([f"--link-dest={link_to}"] if link_to else []),
        *(f"--exclude={pattern}" for pattern in left_out),
        *("--", source, target),
    ]
    _run(command, ssh=ssh)


def copy_file(source: str, target: str, *, ssh: Sequence[str]) -> None:
    """Copy one file of another machine; raises as `copy_tree` does."""
    _run(["--", source, target], ssh=ssh)


def _run(arguments: Sequence[str], *, ssh: Sequence[str]) -> None:
    command = [
        *("rsync", "--times", "--secluded-args", "--partial"),
        *([f"--rsh={shlex.join(ssh)}", f"--timeout={TIMEOUT_S}"] if ssh else []),
        *(["--info=progress2"] if sys.stderr.isatty() else []),
        *arguments,
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
