"""Where this process looks for the code of a laboratory, besides Python's own path.

Process-wide, as `sys.path` is, of which these directories become the beginning once a
workload is looked for. What was found, and what a template names besides, is kept in mind:
a launch copies it for its jobs.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PROJECT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "hpcexp.toml", ".git")
INSTALLED = ("site-packages", "dist-packages")

_finders: dict[Path, Callable[[], Iterable[Path]]] = {}
_needed: dict[tuple[Path, str | None], None] = {}


@dataclass(frozen=True)
class CodeDir:
    """A directory that modules are imported from; `package` is the one that is needed of it.

    None where a template names the directory as a whole.
    """

    path: Path
    package: str | None = None


def look_in(owner: Path, find: Callable[[], Iterable[Path]]) -> None:
    """Look for workloads in the directories of a template or an experiment, before all others.

    They are asked for when they are needed.
    """
    _finders.pop(owner, None)
    _finders[owner] = find


def find_project_dirs(directory: Path) -> list[Path]:
    """The nearest directory above that looks like a project's, and its `src`."""
    for place in (directory, *directory.parents):
        if any((place / mark).exists() for mark in PROJECT_MARKS):
            return [place, *_list_src(place)]
    return []


def find_code_dir(name: str) -> Path:
    """A directory that a template names: relative to the working directory."""
    return Path(name).expanduser().absolute()


def extend_python_path() -> None:
    """Make the beginning of Python's path of all places, and of the working directory.

    In a job, which runs a copy of the code (`python -P`), that directory comes last.
    """
    found = [path for find in reversed(_finders.values()) for path in find()]
    here = [Path.cwd(), *_list_src(Path.cwd())]
    first = found if sys.flags.safe_path else [*found, *here]
    places = list(dict.fromkeys(str(path.absolute()) for path in first))
    if places != sys.path[: len(places)]:
        sys.path[:] = [*places, *(entry for entry in sys.path if entry not in places)]
    sys.path += [str(path) for path in here if str(path) not in sys.path]


def _list_src(directory: Path) -> list[Path]:
    return [directory / "src"] if (directory / "src").is_dir() else []


def need(directory: Path, package: str | None = None) -> None:
    """Keep in mind that jobs need the code of a directory, unless it is installed."""
    if not is_installed(directory):
        _needed[(directory.absolute(), package)] = None


def list_needed() -> list[CodeDir]:
    """The directories whose code jobs need, in the order in which they were needed."""
    return [CodeDir(*place) for place in _needed]


def is_installed(directory: Path) -> bool:
    """Whether a directory is one that packages are installed to, or Python's own."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return str(directory) in own or any(part in INSTALLED for part in directory.parts)
