"""Values that remember where they were written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.errors import Problem

_PLAIN_TEXT = re.compile(r"[\w./][\w./+:@%-]*")

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file and a line, or an option of the command line.

    `where` is the dotted name in that file, such as `profiles.smoke.params.lr`, or the
    option, such as `--set params.lr`; an option has no line.
    """

    path: str
    line: int | None
    where: str

    def problem(self, message: str, *, inside: Iterable[str] = ()) -> Problem:
        """A fault of the value, or of what is missing at the names `inside` it."""
        where = ".".join([*([self.where] if self.where else []), *inside])
        return Problem(path=self.path, line=self.line, where=where, message=message)


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a mapping or a list of nodes, with its origin."""

    value: Scalar | dict[str, Node] | list[Node]
    origin: Origin

    @property
    def entries(self) -> dict[str, Node]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The items of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []


@dataclass(frozen=True)
class Source:
    """A file that was read, and its text."""

    path: Path
    text: str


def to_plain(node: Node) -> Any:
    """The node as ordinary dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: to_plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(item) for item in node.value]
    return node.value


def find_nearest(node: Node, names: tuple[str | int, ...]) -> tuple[Node, tuple[str, ...]]:
    """The deepest node on the way along `names`, and the names that it does not have."""
    for place, name in enumerate(names):
        child = _find_child(node, name)
        if child is None:
            return node, tuple(str(rest) for rest in names[place:])
        node = child
    return node, ()


def show(value: Any) -> str:
    """A value as it would be written in a template, shortened; text only quoted if needed."""
    if isinstance(value, str):
        text = value if _reads_as_itself(value) else json.dumps(value, ensure_ascii=False)
    elif isinstance(value, float) and not math.isfinite(value):
        text = ".nan" if math.isnan(value) else repr(value).replace("inf", ".inf")
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def join_choices(choices: Iterable[str]) -> str:
    """Several choices in a sentence: `a`, `a or b`, `a, b or c`."""
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def canonical(value: Any) -> str:
    """A key that is equal for equal values: 1 and 1.0 are, 1 and true or "1" are not."""
    return json.dumps(_whole_numbers(value), sort_keys=True)


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole_numbers(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_numbers(item) for item in value]
    return value


def _find_child(node: Node, name: str | int) -> Node | None:
    if isinstance(name, int):
        return node.items[name] if 0 <= name < len(node.items) else None
    return node.entries.get(name)


def _reads_as_itself(text: str) -> bool:
    return _PLAIN_TEXT.fullmatch(text) is not None and not _looks_like_scalar(text)


def _looks_like_scalar(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in {"true", "false", "null"}
    return True
