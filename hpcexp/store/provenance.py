"""Where an experiment came from: code, packages, command, machine, time."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_json, write_json, write_text
from hpcexp.store.git import GitState, UntrackedFile, read_git
from hpcexp.store.layout import ExperimentDir

if TYPE_CHECKING:
    from importlib.metadata import Distribution


@dataclass(frozen=True)
class Provenance:
    """Where an experiment came from. `reproduces` names the run that it repeats, if it does.

    `git` is the tree of the working directory, `trees` are those of the rest of its code.
    """

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
    reproduces: Mapping[str, str] | None = None
    trees: tuple[GitState, ...] = ()


def collect_provenance(
    *,
    working_dir: Path | None = None,
    exclude: Sequence[Path] = (),
    further: Sequence[Path] = (),
) -> Provenance:
    """Look at this process, its machine and the git tree of the working directory.

    Untracked files below the directories `exclude` are left out: the experiments themselves
    are no part of the code, also where nobody told git to ignore them. Code comes from the
    git trees of `further` directories, too.
    """
    directory = working_dir or Path.cwd()
    excluded = [path.resolve() for path in exclude]
    trees: dict[str, GitState] = {}
    git = read_git(directory, exclude=excluded)
    for place in further:
        state = read_git(place, exclude=excluded)
        if state is not None and (git is None or state.top_dir != git.top_dir):
            trees.setdefault(state.top_dir, state)
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
        git=git,
        trees=tuple(trees.values()),
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
        values["git"] = _write_git(provenance.git, directory)
    values["trees"] = [
        _write_git(git, directory / f"tree_{number}")
        for number, git in enumerate(provenance.trees, start=1)
    ]
    write_json(directory / "provenance.json", values)


def _write_git(git: GitState, directory: Path) -> dict[str, Any]:
    """Write the diff and copies of small untracked files; returns what is recorded of a tree."""
    directory.mkdir(exist_ok=True)
    values = asdict(git)
    if diff := values.pop("diff"):
        (directory / "uncommitted.patch").write_bytes(diff)
    copied = _copy_untracked(git, directory / "untracked")
    return {**values, "untracked": [asdict(file) for file in copied]}


def read_commit(experiment: ExperimentDir) -> str | None:
    """The commit of the code, with `+` where it had been changed; None where nobody noted one."""
    try:
        git = read_json(experiment.provenance_dir / "provenance.json").get("git") or {}
    except (HpcexpError, AttributeError):
        return None
    commit = git.get("commit")
    return f"{commit[:10]}{'+' if git.get('is_dirty') else ''}" if commit else None


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
    from importlib import metadata  # takes 10 ms, which `status` need not pay

    found = dict(_read_name_and_version(d) for d in metadata.distributions())
    found.pop("", None)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _read_name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Of the headers alone: a package's description is long, and slow to parse."""
    from email.parser import HeaderParser

    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    headers = HeaderParser().parsestr(text.partition("\n\n")[0])
    if headers["Name"] is not None:
        return headers["Name"], headers["Version"] or ""
    described = distribution.metadata  # a form of old setuptools has other files
    return (described["Name"], described["Version"]) if "Name" in described else ("", "")
