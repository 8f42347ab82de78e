"""From the axes of a grid to groups, and from groups to runs. Pure: no YAML, no files.

A group's name spells its values (`rnn_width=48,lr=0.001`); the run's name adds the index
of the random initialisation (`rnn_width=48,lr=0.001_rand_1`). Names are directory names:
two different groups never share one, not even where the file system ignores case.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcexp.sampling import Points, is_equal

BASE_GROUP_NAME = "base"
GROUP = "group"
"""Under this name a group of `groups` has its own name among its values."""
MAX_RUN_NAME_BYTES = 150

_MAX_GROUP_NAME_BYTES = MAX_RUN_NAME_BYTES - len("_rand_999999")
_MAX_VALUE_BYTES = 60
_HASH_DIGITS = 12
_KEPT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_WORDS = frozenset({"null", "true", "false", "inf", "nan"})


@dataclass(frozen=True)
class Group:
    """One hyperparameter combination of the grid: its name, and dotted name -> value."""

    name: str
    values: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Run:
    """One group with one random initialisation; `index` is its place in the experiment."""

    name: str
    index: int
    group: Group
    rand_init: int


def expand_groups(
    axes: Mapping[str, Sequence[Any]],
    *,
    named: Iterable[str] = (),
    zips: Sequence[Mapping[str, Sequence[Any]]] = (),
    exclude: Sequence[Mapping[str, Any]] = (),
    samples: Points | None = None,
) -> tuple[Group, ...]:
    """The product of named groups, axes, zips and samples, in their order, the last fastest.

    A named group has the value of its name under `GROUP`; a zip is a number of axes of equal
    length that move together. Combinations that hold all the values of an entry of `exclude`
    are left out. A sample is called by its number, and says nothing of axes whose conditions
    are not met. Without any factor there is one group, `base`, of no values.
    Raises ValueError where an axis repeats a value: two groups would share a name.
    """
    factors = [[(name, {GROUP: name}) for name in named]] if named else []
    factors += [_spell_zip({name: values}) for name, values in axes.items()]
    factors += [_spell_zip(together) for together in zips]
    if samples is not None:
        kept = tuple(
            group
            for combination in itertools.product(*factors)
            for group in _combine_samples(combination, samples)
            if not any(matches(group.values, entry) for entry in exclude)
        )
        _refuse_shared_names(kept)
        return kept
    if not factors:
        return (Group(name=BASE_GROUP_NAME, values={}),)
    groups = tuple(
        Group(
            name=_shorten(",".join(part for part, _ in combination), _MAX_GROUP_NAME_BYTES),
            values={name: value for _, values in combination for name, value in values.items()},
        )
        for combination in itertools.product(*factors)
    )
    kept = tuple(g for g in groups if not any(matches(g.values, entry) for entry in exclude))
    _refuse_shared_names(kept)
    return kept


def _combine_samples(
    combination: tuple[tuple[str, dict[str, Any]], ...], samples: Points
) -> Iterator[Group]:
    """One combination of the grid with every sample."""
    others = {name: value for _, values in combination for name, value in values.items()}
    prefix = ",".join(part for part, _ in combination)
    for name, values in samples.complete(others):
        room = _MAX_GROUP_NAME_BYTES - len(name) - 1  # the number stays, whatever else is cut
        yield Group(name=f"{_shorten(prefix, room)},{name}" if prefix else name, values=values)


def matches(values: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether a group has all the values of an entry of `exclude`; 1 and 1.0 are equal."""
    return all(name in values and is_equal(values[name], wanted) for name, wanted in entry.items())


def expand_runs(groups: Iterable[Group], *, rand_inits: int) -> tuple[Run, ...]:
    """Every group with every random initialisation, group by group, counted from 0.

    Raises ValueError where `rand_inits` is less than 1.
    """
    if rand_inits < 1:
        raise ValueError(f"rand_inits is {rand_inits}; it must be at least 1")
    pairs = itertools.product(groups, range(rand_inits))
    return tuple(
        Run(name=f"{group.name}_rand_{rand_init}", index=index, group=group, rand_init=rand_init)
        for index, (group, rand_init) in enumerate(pairs)
    )


def spell_value(value: Any) -> str:
    """A value as a part of a file name: compact, unambiguous, safe in a shell.

    Different values are spelled differently, and so are values of different types (1, 1.0,
    "1", true). Numbers and plain words stay as they are; other text starts with `@`, and
    a character outside letters, digits, `_`, `-` and `.` becomes `~` and its UTF-8 bytes in
    hex; text with capitals ends in `@` and their positions as a bit mask in hex (`ReLU@d`),
    as macOS ignores case. A list is `+64+128`, a mapping `+kind=bounce+predict.z=0`.
    What is longer than 60 bytes ends in `~~` and a hash.

    Raises TypeError for what YAML cannot hold.
    """
    return _shorten(_spell(value), _MAX_VALUE_BYTES)


def _spell_zip(together: Mapping[str, Sequence[Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The choices of axes that move together: how each is spelled, and its values."""
    names = {name: _spell_text(name) for name in together}
    return [
        (
            ",".join(f"{names[n]}={spell_value(v)}" for n, v in zip(names, choice, strict=True)),
            dict(zip(names, choice, strict=True)),
        )
        for choice in zip(*together.values(), strict=True)
    ]


def _refuse_shared_names(groups: tuple[Group, ...]) -> None:
    seen: set[str] = set()
    for group in groups:
        folded = group.name.lower()
        if folded in seen:
            raise ValueError(f"two groups are named {group.name}: an axis repeats a value")
        seen.add(folded)


def _spell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _spell_float(value)
    if isinstance(value, str):
        return _spell_text(value)
    if isinstance(value, Mapping):
        return _spell_mapping(value)
    if isinstance(value, Sequence):
        return "".join(f"+{_spell_item(item)}" for item in value) or "+"
    raise TypeError(f"cannot spell a {type(value).__name__} as a part of a file name")


def _spell_float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return repr(value).replace("e+", "e")  # "+" separates the items of a list


def _spell_text(text: str) -> str:
    body = "".join(_escape(character) for character in text)
    starts_as_word = body[:1].isalpha() or body[:1] == "_"
    mark = "" if starts_as_word and body.lower() not in _WORDS else "@"
    return mark + body + _capitals(body)


def _escape(character: str) -> str:
    if character in _KEPT or character == ".":
        return character
    # surrogatepass: a lone surrogate, which YAML can spell, is a value like any other
    return "".join(f"~{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def _capitals(body: str) -> str:
    mask = sum(1 << place for place, character in enumerate(body) if character.isupper())
    return f"@{mask:x}" if mask else ""


def _spell_item(value: Any) -> str:
    """A value inside a list or a mapping: a collection stands between `~_` and `~-`."""
    spelled = _spell(value)
    return f"~_{spelled}~-" if spelled.startswith("+") else spelled


def _spell_mapping(mapping: Mapping[Any, Any]) -> str:
    leaves = sorted(_walk_leaves(mapping))
    return "".join(f"+{name}={value}" for name, value in leaves) or "+="


def _walk_leaves(mapping: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        name = prefix + _spell_text(str(key)).replace(".", "~2e")
        if isinstance(value, Mapping) and value:
            yield from _walk_leaves(value, prefix=f"{name}.")
        else:
            yield name, _spell_item(value)


def _shorten(name: str, limit: int) -> str:
    """The name, or where it is longer than `limit` its beginning, `~~` and a hash of all."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode("ascii")).hexdigest()[:_HASH_DIGITS]
    return f"{name[: limit - _HASH_DIGITS - 2]}~~{digest}"
