"""On which line of a TOML text a name is given, which tomllib does not tell.

Only for messages: the text has been read by tomllib before, so that it is known to be TOML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADER = re.compile(r"\s*\[{1,2}\s*(?P<name>[^\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"\s*(?P<name>(?:[\w.\-\s]|\"[^\"]*\"|'[^']*')+?)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)")
_STRING = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*|[\[\]{}]")


def index_lines(text: str) -> dict[tuple[str, ...], int]:
    """Names, in parts, and the line that gives each; those of inline tables go by their table's."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    inside = _Inside()
    for number, line in enumerate(text.splitlines(), start=1):
        if inside.is_value:
            inside.read(line)
        elif header := _HEADER.match(line):
            table = _split(header["name"])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_split(key["name"])), number)
            inside.read(line[key.end() :])
    return lines


class _Inside:
    """Whether a value goes on in the next line: a list, a table, or a text in three quotes."""

    def __init__(self) -> None:
        self._depth, self._quotes = 0, ""

    @property
    def is_value(self) -> bool:
        return bool(self._depth or self._quotes)

    def read(self, text: str) -> None:
        for token in self._tokens(text):
            self._depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)

    def _tokens(self, text: str) -> Iterator[str]:
        place = 0
        while place < len(text):
            if self._quotes:
                end = text.find(self._quotes, place)
                if end < 0:
                    return
                place, self._quotes = end + 3, ""
            elif found := _STRING.search(text, place):
                place = found.end()
                if found[0] in ('"""', "'''"):
                    self._quotes = found[0]
                yield found[0]
            else:
                return


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(next(part for part in found if part) for found in _PART.findall(dotted))
