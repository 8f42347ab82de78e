"""Importing a laboratory's module, and telling its errors as its own: where, and what."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.workloads.own.places import extend_python_path, is_installed, list_needed, need

_OWN_DIR = Path(__file__).parents[2]


def import_module(name: str) -> ModuleType:
    """Import a module of the laboratory; what it prints goes to standard error.

    Raises UsageError where there is none, or with its own error, its file and its line.
    """
    with _telling(name):
        return importlib.import_module(name)


def find_module(name: str) -> ModuleSpec:
    """Where a module is; imports the packages around it only.

    Raises UsageError where there is none, or where a package around it fails.
    """
    with _telling(name):
        spec = importlib.util.find_spec(name)
    if spec is None:
        raise UsageError(_explain_missing(name))
    return spec


def has_module(name: str) -> bool:
    """Whether there is such a module, in a package that can be imported."""
    try:
        find_module(name)
    except UsageError:
        return False
    return True


def get_attribute(module: ModuleType, name: str, *, noun: str) -> Any:
    """What a module calls by a name.

    Raises UsageError where it has nothing of that name, with what is near.
    """
    if hasattr(module, name):
        return getattr(module, name)
    names = [n for n in vars(module) if not n.startswith("_")]
    raise UsageError(f"{module.__name__} has no {noun} {name}{suggest(name, names)}")


def suggest(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?`, or what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(sorted(known)[:12])}" if known else ""


@contextlib.contextmanager
def _telling(name: str) -> Iterator[None]:
    """Within, modules are found, keep no bytecode in a copy, and fail in words."""
    extend_python_path()
    importlib.invalidate_caches()
    writes_bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(_explain_missing(name)) from error
        raise UsageError(f"{name} cannot be imported: {describe_error(error)}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name} cannot be imported: {describe_error(error)}") from error
    finally:
        sys.dont_write_bytecode = writes_bytecode
        _note_home(name)


def _note_home(name: str) -> None:
    """Keep in mind where a package comes from, also one that failed."""
    top_level = name.partition(".")[0]
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(top_level)
        place = None if spec is None else _find_place(spec)
        if place is not None and top_level != _OWN_DIR.name:
            need(place.parent, top_level)


def _find_place(spec: ModuleSpec) -> Path | None:
    """The directory of a package, the file of a module."""
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.has_location and spec.origin else None


def _explain_missing(name: str) -> str:
    """Which part of a dotted name is not there, what is there, and where it was looked for."""
    package, _, last = name.rpartition(".")
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        if package and importlib.util.find_spec(package) is not None:
            inside = getattr(sys.modules.get(package), "__path__", ())
            known = [module.name for module in pkgutil.iter_modules(inside)]
            return f"{package} has no module {last}{suggest(last, known)}"
    if package:
        return _explain_missing(package)
    places = [p for p in map(Path, sys.path) if p.is_dir() and not is_installed(p)]
    python_dir = Path(sysconfig.get_path("stdlib"))
    shown = [str(p) for p in places if not p.is_relative_to(python_dir)]
    return (
        f"there is no module {name} in {', '.join(dict.fromkeys(shown))}, and none is installed; "
        "launch in the directory that holds it"
    )


def describe_error(error: BaseException) -> str:
    """An error in a line: what, and in which line of which file of the laboratory."""
    what = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_theirs(f.filename)]
    if not frames:
        return what
    last = frames[-1]
    code = f": {last.line}" if last.line else ""
    return f"{what} ({last.filename}, line {last.lineno}{code})"


def explain_if_theirs(error: BaseException) -> str | None:
    """An error in words if the laboratory's code raised it; None if hpcexp or Python did."""
    homes = [place.path for place in list_needed() if place.package is not None]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_theirs(frame.filename):
            is_found = any(Path(frame.filename).is_relative_to(home) for home in homes)
            return f"an error of the workload: {describe_error(error)}" if is_found else None
        if Path(frame.filename).is_relative_to(_OWN_DIR):
            return None
    return None


def _is_theirs(filename: str) -> bool:
    path = Path(filename)
    if filename.startswith("<") or path.is_relative_to(_OWN_DIR) or is_installed(path):
        return False
    return not path.is_relative_to(sysconfig.get_path("stdlib"))
