"""Names in braces in a command: `python train.py --lr {lr}`.

The command is split into words first, and a value takes its place inside a word afterwards:
whatever it holds, it stays one argument, and no shell ever sees it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

ARGUMENTS = "arguments"
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*)*")


def split_words(command: str) -> list[str]:
    """The words of a command as a shell would split it; nothing in them is expanded.

    Raises ValueError where there is none, or a quote or a brace has no partner.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"cannot be split into words ({error}); check its quotes") from None
    if not words:
        raise ValueError("is empty; write what to run, such as python train.py --lr {lr}")
    for word in words:
        for _ in _list_in_word(word):
            pass
        if f"{{{ARGUMENTS}}}" in word and word != f"{{{ARGUMENTS}}}":
            raise ValueError(f"{{{ARGUMENTS}}} stands for several words; write it as a word alone")
    return words


def list_placeholders(command: str) -> list[str]:
    """The names in braces, each once, in their order; raises what `split_words` raises."""
    return list(dict.fromkeys(n for word in split_words(command) for n in _list_in_word(word)))


def fill_words(
    command: str, values: Mapping[str, Any], *, arguments: Mapping[str, Any]
) -> list[str]:
    """The words with the values in their places; `{arguments}` becomes `--NAME VALUE` of all.

    A dotted name is looked up in sections. Raises KeyError for a name without a value.
    """
    filled = []
    for word in split_words(command):
        if word == f"{{{ARGUMENTS}}}":
            for name, value in arguments.items():
                filled += [f"--{name}", spell(value)]
        else:
            filled.append(_PART.sub(lambda match: _fill(match, values), word))
    return filled


def spell(value: Any) -> str:
    """A value as an argument: text as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """The value at a name, or at a dotted name in its sections; raises KeyError."""
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise KeyError(name)
        found = found[part]
    return found


def _fill(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match[0] in ("{{", "}}"):
        return match[0][0]
    return spell(look_up(values, match[1]))


def _list_in_word(word: str) -> Iterator[str]:
    for match in _PART.finditer(word):
        if match[0] in ("{{", "}}"):
            continue
        if match[0] in "{}":
            raise ValueError(f"has a lone {match[0]} in {word!r}; write {match[0] * 2} for a brace")
        if not _NAME.fullmatch(match[1]):
            raise ValueError(
                f"{match[0]} is no name in braces; write {{{{...}}}} where braces are meant"
            )
        yield match[1]
