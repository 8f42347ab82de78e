"""Where an experiment came from: code, packages, command, machine, time."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

from hpcexp.store.files import write_json, write_text
from hpcexp.store.layout import ExperimentDir

MAX_UNTRACKED_FILE_BYTES = 1_000_000
MAX_UNTRACKED_BYTES = 20_000_000
GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class UntrackedFile:
    """A file that git does not know; `copied` says whether its content was kept."""

    path: str
    num_bytes: int
    sha256: str | None
    copied: bool


@dataclass(frozen=True)
class GitState:
    """The state of a working tree; the diff holds what was changed since the commit."""

    top_dir: str
    commit: str | None
    branch: str
    is_dirty: bool
    diff: str
    untracked: tuple[UntrackedFile, ...]


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


def collect_provenance(*, working_dir: Path | None = None) -> Provenance:
    """Look at this process, its machine and the git tree of the working directory."""
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
        git=_read_git(directory),
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
            write_text(directory / "uncommitted.patch", diff)
        _copy_untracked(provenance.git, directory / "untracked")
    write_json(directory / "provenance.json", values)


def _copy_untracked(git: GitState, target_dir: Path) -> None:
    for file in git.untracked:
        if file.copied:
            target = target_dir / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(git.top_dir) / file.path, target)


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose uid has no name
        return str(os.getuid())


def _list_packages() -> dict[str, str]:
    found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _read_git(directory: Path) -> GitState | None:
    top = _git(directory, "rev-parse", "--show-toplevel")
    if top is None:
        return None
    top_dir = Path(top.strip())
    commit = _git(top_dir, "rev-parse", "--verify", "HEAD")
    diff = (_git(top_dir, "diff", "HEAD", "--binary") or "") if commit else ""
    listed = _git(top_dir, "ls-files", "--others", "--exclude-standard", "-z") or ""
    untracked = _describe_untracked(top_dir, [name for name in listed.split("\0") if name])
    return GitState(
        top_dir=str(top_dir),
        commit=commit.strip() if commit else None,
        branch=(_git(top_dir, "rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        is_dirty=bool(diff or untracked),
        diff=diff,
        untracked=untracked,
    )


def _describe_untracked(top_dir: Path, names: list[str]) -> tuple[UntrackedFile, ...]:
    files = []
    room = MAX_UNTRACKED_BYTES
    for name in sorted(names):
        path = top_dir / name
        if not path.is_file():
            continue
        num_bytes = path.stat().st_size
        copied = num_bytes <= min(MAX_UNTRACKED_FILE_BYTES, room)
        room -= num_bytes if copied else 0
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if copied else None
        files.append(UntrackedFile(name, num_bytes, sha256, copied))
    return tuple(files)


def _git(directory: Path, *arguments: str) -> str | None:
    """What git printed; None where it failed, is missing or hangs."""
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")
