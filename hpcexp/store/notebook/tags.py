"""Tags of notes: words by which they are found again."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hpcexp.errors import UsageError

MEETING = "present_in_meeting"
"""The tag of what `hpcexp meeting` shows."""

_WORD = r"[^\W_][\w.-]*|_[\w.-]+"  # of any script; not `..`, as tags name files
_TAG = re.compile(_WORD)
_TAG_LINE = re.compile(rf"#(?:{_WORD})(?:[\s,]+#(?:{_WORD}))*")


def check_tag(text: str) -> str:
    """A tag without its `#`.

    Raises UsageError for anything but one word.
    """
    tag = text.strip().removeprefix("#")
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"{text!r} is no tag: write one word of letters, digits, '_', '-' and '.', "
            f"such as {MEETING}"
        )
    return tag


def find_tags(lines: Iterable[str]) -> tuple[str, ...]:
    """The tags of a text: lines that hold nothing but `#words`, as in `#present_in_meeting`."""
    found = [tag for line in lines if is_tag_line(line) for tag in re.findall(rf"#({_WORD})", line)]
    return tuple(dict.fromkeys(found))


def is_tag_line(line: str) -> bool:
    """Whether a line says nothing but tags."""
    return _TAG_LINE.fullmatch(line.strip()) is not None
