"""What can go wrong, in words that a user can act upon.

Every error that a user may cause or cure is a `HpcexpError`; the command line prints
its message without a traceback. Programmers' mistakes stay ordinary exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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


@dataclass(frozen=True)
class Problem:
    """One fault of an input file: where it is, and what is wrong, allowed, to be done.

    `line` counts from 1; None where there is no line, such as a missing key. `where` is
    the dotted name of the value, such as `grid.batch_size`.
    """

    path: Path | str
    line: int | None
    where: str
    message: str

    def location(self) -> str:
        """Where the fault is, such as `line 9   grid.batch_sise`."""
        line = f"line {self.line}" if self.line is not None else ""
        return f"{line:<8} {self.where}".rstrip()


class TemplateError(UsageError):
    """All the faults of a template, collected and shown together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self._describe())

    def _describe(self) -> str:
        blocks = []
        for path in dict.fromkeys(str(p.path) for p in self.problems):
            own = [p for p in self.problems if str(p.path) == path]
            count = "1 problem" if len(own) == 1 else f"{len(own)} problems"
            lines = [f"  {p.location()}: {p.message}" for p in own]
            blocks.append("\n".join([f"{path}: {count}, nothing was created", *lines]))
        return "\n".join(blocks)
