"""Where archives are. Light: every command that looks for an experiment imports it."""

from __future__ import annotations

import re
from pathlib import Path

from hpcexp.store.layout import ExperimentDir

SUFFIX = ".tar.zst"

# Other people's archives lie around as well: those of experiments begin with a time.
_NAME = re.compile(rf"[0-9]{{4}}_m[0-9]{{2}}_d[0-9]{{2}}@[0-9]{{2}}_.+{re.escape(SUFFIX)}")


def list_archives(directory: Path) -> list[ExperimentDir]:
    """Archived experiments of a directory, by the names of their files; none is opened.

    Their directories are not there: `open_archive` gives one that can be read.
    """
    if not directory.is_dir():
        return []
    return [
        ExperimentDir(directory / path.name.removesuffix(SUFFIX), archive=path)
        for path in directory.iterdir()
        if _NAME.fullmatch(path.name)
    ]


def find_archive(text: str) -> Path | None:
    """The archive at a path, or of the experiment whose directory is no longer at that path."""
    path = Path(text)
    if path.name.endswith(SUFFIX) and _is_file(path):
        return path
    beside = path.with_name(path.name + SUFFIX) if path.name else path
    return beside if _is_file(beside) and not path.exists() else None


def _is_file(path: Path) -> bool:
    """Not so for a text that is too long for a path, or none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
