"""The state of a git working tree: commit, uncommitted changes, untracked files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

MAX_UNTRACKED_FILE_BYTES = 1_000_000
MAX_UNTRACKED_BYTES = 20_000_000
MAX_UNTRACKED_FILES = 1000
MAX_DIFF_BYTES = 50_000_000
GIT_TIMEOUT_S = 20
# The diff must be one that `git apply` takes, whatever the user's own settings of git are.
DIFF_OPTIONS = (
    "--binary",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--unified=3",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
# Untracked files that are likely to hold secrets: named, never copied into an experiment.
SECRET_PATTERNS = (
    ".env",
    ".env.*",
    ".netrc",
    ".pgpass",
    "*.key",
    "*.p12",
    "*.pem",
    "*.pfx",
    "id_ecdsa*",
    "id_ed25519*",
    "id_rsa*",
)


@dataclass(frozen=True)
class UntrackedFile:
    """A file that git neither knows nor ignores; `copied` says whether its content was kept."""

    path: str
    num_bytes: int
    sha256: str | None
    copied: bool


@dataclass(frozen=True)
class GitState:
    """The state of a working tree; the diff holds what was changed since the commit.

    `problem` says in words what is missing, such as a diff that was too large; a tree of
    which not all is known counts as dirty. `untracked` are the first MAX_UNTRACKED_FILES
    of `num_untracked`.
    """

    top_dir: str
    commit: str | None
    branch: str
    is_dirty: bool
    diff: bytes
    untracked: tuple[UntrackedFile, ...]
    num_untracked: int = 0
    problem: str = ""


def read_git(directory: Path, *, exclude: Sequence[Path] = ()) -> GitState | None:
    """The tree that a directory belongs to; None where there is none, or no git.

    Files below `exclude` do not count as untracked. The tree's index is left as it is.
    """
    top = _git_text(directory, "rev-parse", "--show-toplevel")
    if not top:
        return None
    top_dir = Path(top)
    commit = _git_text(top_dir, "rev-parse", "--verify", "HEAD") or None
    with _copied_index(top_dir) as index_path:
        diff, problem = _read_diff(top_dir, index_path) if commit else (b"", "")
        names = _list_untracked(top_dir, index_path, exclude=exclude)
    if names is None:
        problem = "; ".join([*filter(None, [problem]), "git could not list untracked files"])
    return GitState(
        top_dir=top,
        commit=commit,
        branch=_git_text(top_dir, "rev-parse", "--abbrev-ref", "HEAD") or "",
        is_dirty=bool(diff or names or problem),
        diff=diff,
        untracked=_describe_untracked(top_dir, (names or [])[:MAX_UNTRACKED_FILES]),
        num_untracked=len(names or []),
        problem=problem,
    )


def _read_diff(top_dir: Path, index_path: Path | None) -> tuple[bytes, str]:
    """What was changed since the commit, and what keeps it from being known."""
    diff = run_git(top_dir, "diff", *DIFF_OPTIONS, "HEAD", index_path=index_path)
    if diff is None:
        return b"", "git diff failed or took too long"
    if len(diff) > MAX_DIFF_BYTES:
        return b"", f"the diff was left out: {len(diff)} bytes, of {MAX_DIFF_BYTES} at most"
    return diff, ""


def _list_untracked(
    top_dir: Path, index_path: Path | None, *, exclude: Sequence[Path]
) -> list[str] | None:
    arguments = ("ls-files", "--others", "--exclude-standard", "-z")
    listed = run_git(top_dir, *arguments, index_path=index_path)
    if listed is None:
        return None
    names = sorted(os.fsdecode(name) for name in listed.split(b"\0") if name)
    root = top_dir.resolve()
    # Where the tree itself lies below such a directory, nothing would be left.
    below = [path for path in exclude if not root.is_relative_to(path)]
    return [n for n in names if not any((root / n).is_relative_to(path) for path in below)]


def _describe_untracked(top_dir: Path, names: Sequence[str]) -> tuple[UntrackedFile, ...]:
    files = []
    room = MAX_UNTRACKED_BYTES
    for name in names:
        file = _describe_file(top_dir, name, max_bytes=min(MAX_UNTRACKED_FILE_BYTES, room))
        room -= file.num_bytes if file.copied else 0
        files.append(file)
    return tuple(files)


def _describe_file(top_dir: Path, name: str, *, max_bytes: int) -> UntrackedFile:
    """A file that is too large, secret or unreadable, or that is none, is only named."""
    path = top_dir / name
    try:
        num_bytes = path.stat().st_size
        if not path.is_file() or num_bytes > max_bytes or may_be_secret(path):
            return UntrackedFile(name, num_bytes, None, copied=False)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return UntrackedFile(name, 0, None, copied=False)
    return UntrackedFile(name, num_bytes, sha256, copied=True)


def may_be_secret(path: Path) -> bool:
    """Whether a file's name is one of those that hold secrets."""
    return any(fnmatch(path.name.lower(), pattern) for pattern in SECRET_PATTERNS)


@contextmanager
def _copied_index(top_dir: Path) -> Iterator[Path | None]:
    """A copy of the index: `git diff` writes to the index that it is given."""
    name = _git_text(top_dir, "rev-parse", "--git-path", "index")
    source = top_dir / name if name else None
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "index"
        try:
            shutil.copyfile(source or copy, copy)
        except OSError:  # a tree without an index yet
            yield None
        else:
            yield copy


def _git_text(directory: Path, *arguments: str) -> str | None:
    output = run_git(directory, *arguments)
    return None if output is None else os.fsdecode(output).strip()


def run_git(directory: Path, *arguments: str, index_path: Path | None = None) -> bytes | None:
    """What git printed; None where it failed, is missing or hangs."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    if index_path is not None:
        environment["GIT_INDEX_FILE"] = str(index_path)
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            env=environment,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
