"""What can go wrong, in words that a user can act upon.

Every error that a user may cause or cure is a `HpcexpError`; the command line prints
its message without a traceback. Programmers' mistakes stay ordinary exceptions.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MAX_LINES_SHOWN = 40


class HpcexpError(Exception):
    """A problem with a message for the user; the command line exits with `exit_code`."""

    exit_code = 1


class UsageError(HpcexpError):
    """The user's input is wrong: nothing was changed."""

    exit_code = 2


class RunOwnedError(HpcexpError):
    """Another live process trains this run."""


class SupersededError(HpcexpError):
    """A newer attempt owns this run: this one must stop without another write."""


class StorageError(HpcexpError):
    """A file system refuses or is away: the same call may succeed once that is mended."""


class OwnLoopError(HpcexpError):
    """A training that is not hpcexp's own failed; its last words follow the first line."""


_NO_MEMORY = ("can't allocate", "out of memory", "not enough memory")
_MAKE_ROOM = "make room there"
_MEND_MODE = "have its owner permit it, or its mode mended"
_WAIT = "try again when the file system is back"
_ADVICE = {
    errno.ENOSPC: f"{_MAKE_ROOM} (df -h, df -i)",
    errno.EDQUOT: f"{_MAKE_ROOM}, or ask for a larger quota",
    errno.EACCES: _MEND_MODE,
    errno.EPERM: _MEND_MODE,
    errno.EROFS: "have it mounted for writing, or choose another directory",
    errno.ENAMETOOLONG: "use a shorter path or name",
    errno.EIO: _WAIT,
    errno.ESTALE: _WAIT,
    errno.ENOTCONN: _WAIT,
    errno.ETIMEDOUT: _WAIT,
    errno.EHOSTDOWN: _WAIT,
}


def explain_os_error(error: OSError) -> str:
    """Where, what, and what to do about it, such as `a/b.json: No space left ...; make room`."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    advice = _ADVICE.get(error.errno or 0, "")
    what = error.strerror or str(error) or type(error).__name__
    return f"{where}{what}{f'; {advice}' if advice else ''}"


@dataclass(frozen=True)
class Problem:
    """One fault of an input file: where it is, and what is wrong, allowed, to be done.

    `line` counts from 1; None where there is no line, such as a missing key. `where` is
    the dotted name of the value, such as `grid.batch_size`; empty for the whole file.
    """

    path: Path | str
    line: int | None
    where: str
    message: str

    def describe(self, *, width: int = 8) -> str:
        """One line, such as `line 9   grid.batch_sise: ...`; `width` aligns what follows."""
        line = "" if self.line is None else f"line {self.line:<{width - 5}}"
        where = f"{self.where}: " if self.where else ""
        return f"{line}{where}{self.message}"


class TemplateError(UsageError):
    """All the faults of a template, collected and shown together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self._describe())

    def _describe(self) -> str:
        paths = dict.fromkeys(str(p.path) for p in self.problems)
        return "\n".join(
            _describe_file(path, [p for p in self.problems if str(p.path) == path])
            for path in paths
        )


def _describe_file(path: str, problems: Sequence[Problem]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    digits = max(len(str(p.line or "")) for p in problems)
    lines = [f"  {p.describe(width=digits + 7)}" for p in problems[:_MAX_LINES_SHOWN]]
    if len(problems) > _MAX_LINES_SHOWN:
        lines.append(f"  ... and {len(problems) - _MAX_LINES_SHOWN} more")
    return "\n".join([f"{path}: {count}, nothing was created", *lines])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that a device, or the host, has no memory left. Imports no torch."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    return not names.isdisjoint({"MemoryError", "OutOfMemoryError"}) or any(
        words in text for words in _NO_MEMORY
    )
