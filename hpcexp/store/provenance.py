"""Where an experiment came from: code, packages, command, machine, time."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path

from hpcexp.store.files import write_json, write_text
from hpcexp.store.layout import ExperimentDir

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


@dataclass(frozen=True)
class Provenance:
    """Where an experiment came from."""

    command: str
    working_dir: str
    host: str
    user: str
    created: str
    time_zone: str
    platform: str
    python: str
    python_path: str
    packages: dict[str, str]
    git: GitState | None


def collect_provenance(
    *, working_dir: Path | None = None, exclude: Sequence[Path] = ()
) -> Provenance:
    """Look at this process, its machine and the git tree of the working directory.

    Untracked files below the directories `exclude` are left out: the experiments themselves
    are no part of the code, also where nobody told git to ignore them.
    """
    directory = working_dir or Path.cwd()
    now = datetime.now().astimezone()
    return Provenance(
        command=shlex.join(sys.argv),
        working_dir=str(directory),
        host=socket.gethostname(),
        user=_find_user(),
        created=now.isoformat(),
        time_zone=f"{now.tzname()} (UTC{now.strftime('%z')})",
        platform=platform.platform(),
        python=platform.python_version(),
        python_path=sys.executable,
        packages=_list_packages(),
        git=_read_git(directory, exclude=[path.resolve() for path in exclude]),
    )


def write_provenance(experiment: ExperimentDir, provenance: Provenance) -> None:
    """Write `provenance.json`, the diff, the packages, and copies of small untracked files."""
    directory = experiment.provenance_dir
    directory.mkdir()
    values = asdict(provenance)
    packages = values.pop("packages")
    pins = [f"{name}=={version}" for name, version in packages.items()]
    write_text(directory / "packages.txt", "\n".join([*pins, ""]))
    if provenance.git is not None:
        diff = values["git"].pop("diff")
        if diff:
            (directory / "uncommitted.patch").write_bytes(diff)
        copied = _copy_untracked(provenance.git, directory / "untracked")
        values["git"]["untracked"] = [asdict(file) for file in copied]
    write_json(directory / "provenance.json", values)


def _copy_untracked(git: GitState, target_dir: Path) -> list[UntrackedFile]:
    top_dir = Path(git.top_dir)
    return [
        _copy(file, source=top_dir / file.path, target=target_dir / file.path)
        for file in git.untracked
    ]


def _copy(file: UntrackedFile, *, source: Path, target: Path) -> UntrackedFile:
    """Copy a file, no more readable to others than it was; says what the copy holds."""
    if not file.copied:
        return file
    try:
        content, mode = source.read_bytes(), source.stat().st_mode & 0o777
    except OSError:  # it has gone since
        return replace(file, sha256=None, copied=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=mode | 0o600)
    target.write_bytes(content)
    return replace(file, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose uid has no name
        return str(os.getuid())


def _list_packages() -> dict[str, str]:
    found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _read_git(directory: Path, *, exclude: Sequence[Path]) -> GitState | None:
    top = _git_text(directory, "rev-parse", "--show-toplevel")
    if not top:
        return None
    top_dir = Path(top)
    commit = _git_text(top_dir, "rev-parse", "--verify", "HEAD") or None
    diff, problem = _read_diff(top_dir) if commit else (b"", "")
    names = _list_untracked(top_dir, exclude=exclude)
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


def _read_diff(top_dir: Path) -> tuple[bytes, str]:
    """What was changed since the commit, and what keeps it from being known."""
    diff = _git(top_dir, "diff", *DIFF_OPTIONS, "HEAD")
    if diff is None:
        return b"", "git diff failed or took too long"
    if len(diff) > MAX_DIFF_BYTES:
        return b"", f"the diff was left out: {len(diff)} bytes, of {MAX_DIFF_BYTES} at most"
    return diff, ""


def _list_untracked(top_dir: Path, *, exclude: Sequence[Path]) -> list[str] | None:
    listed = _git(top_dir, "ls-files", "--others", "--exclude-standard", "-z")
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
    """A file that is too large, that cannot be read, or that is none, is only named."""
    path = top_dir / name
    try:
        num_bytes = path.stat().st_size
        if not path.is_file() or num_bytes > max_bytes:
            return UntrackedFile(name, num_bytes, None, copied=False)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return UntrackedFile(name, 0, None, copied=False)
    return UntrackedFile(name, num_bytes, sha256, copied=True)


def _git_text(directory: Path, *arguments: str) -> str | None:
    output = _git(directory, *arguments)
    return None if output is None else os.fsdecode(output).strip()


def _git(directory: Path, *arguments: str) -> bytes | None:
    """What git printed; None where it failed, is missing or hangs."""
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
