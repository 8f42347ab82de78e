"""What a template writes to name a workload that is not hpcexp's: `package.module:Class`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hpcexp.errors import UsageError

PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"


@dataclass(frozen=True)
class Reference:
    """A class of a module, or where `class_name` is None, a package with two doors."""

    module: str
    class_name: str | None

    @property
    def top_level(self) -> str:
        """The package, or the module, that Python looks for in its path."""
        return self.module.partition(".")[0]


def is_own(name: str) -> bool:
    """Whether a workload's name says where its code is; built-in ones are single words."""
    return any(mark in name for mark in ".:/\\")


def parse_reference(name: str) -> Reference:
    """The parts of `package.module:Class`, or of `package.module`.

    Raises UsageError for anything else, such as a path.
    """
    if not re.fullmatch(PATTERN, name, re.ASCII):
        raise UsageError(
            f"{name!r} names no code; write package.module:Class, with dots, without .py"
        )
    module, colon, class_name = name.partition(":")
    return Reference(module, class_name if colon else None)
