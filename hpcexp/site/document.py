"""Configuration files: where they are, and their values with the lines that they stand on."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.errors import Problem, TemplateError
from hpcexp.site.lines import index_lines

PROJECT_NAME = "hpcexp.toml"


@dataclass(frozen=True)
class Document:
    """One configuration file. `is_project` tells the project's from the user's own."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int]
    is_project: bool

    def find_line(self, names: tuple[str, ...]) -> int | None:
        """The line of a value, or of the nearest thing that it is part of."""
        for end in range(len(names), 0, -1):
            if names[:end] in self.lines:
                return self.lines[names[:end]]
        return None

    def spell_source(self, names: tuple[str, ...]) -> str:
        """Such as `hpcexp.toml:4`."""
        line = self.find_line(names)
        return str(self.path) if line is None else f"{self.path}:{line}"

    def problem(self, names: tuple[str, ...], message: str) -> Problem:
        """A fault of a value."""
        return Problem(self.path, self.find_line(names), ".".join(names), message)


def find_user_path() -> Path:
    """`$XDG_CONFIG_HOME/hpcexp/config.toml`, else `~/.config/hpcexp/config.toml`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # As the specification asks: a relative path there counts as none.
    directory = Path(base) if base and Path(base).is_absolute() else Path("~/.config").expanduser()
    return directory / "hpcexp" / "config.toml"


def find_project_path() -> Path | None:
    """The nearest `hpcexp.toml`, in the working directory or above it.

    What it says is run, as a Makefile's lines are. So one that somebody else put where everybody
    may write, as in /tmp, is passed over.
    """
    here = Path.cwd()
    found = (directory / PROJECT_NAME for directory in (here, *here.parents))
    return next((path for path in found if path.is_file() and _is_trusted(path)), None)


def _is_trusted(path: Path) -> bool:
    is_own = path.stat().st_uid in (0, os.geteuid())
    return is_own or not path.parent.stat().st_mode & stat.S_IWOTH


def read_documents() -> list[Document]:
    """The user's file and the project's, those that there are.

    Raises TemplateError, with file and line, for what is no TOML or cannot be read.
    """
    user, project = find_user_path(), find_project_path()
    documents = [_read(user, is_project=False)] if user.is_file() else []
    return documents + ([_read(project, is_project=True)] if project else [])


def _read(path: Path, *, is_project: bool) -> Document:
    import tomllib  # every command looks for such files, and few find one

    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise TemplateError([Problem(path, None, "", f"cannot be read ({error.strerror})")]) from (
            error
        )
    except UnicodeDecodeError as error:
        raise TemplateError([Problem(path, None, "", "is not UTF-8 text")]) from error
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0]
        fault = f"is not TOML: {message[:1].lower()}{message[1:]}; texts stand in quotes"
        problem = Problem(path, int(line) if line.isdigit() else None, "", fault)
        raise TemplateError([problem]) from error
    return Document(path, values, index_lines(text), is_project)
