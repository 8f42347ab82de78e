"""The groups of an experiment as an axis of a figure: their order, and short labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcexp.grid import GROUP
from hpcexp.sampling import find_sample_number
from hpcexp.store.experiment import PlannedGroup

MAX_LABEL_LENGTH = 28
_MIN_VALUE_LENGTH = 10


@dataclass(frozen=True)
class GroupAxis:
    """Groups in the order in which tables and figures show them.

    A label holds only what varies: `48`, with the title `rnn_width`; for two hyperparameters
    `48, 0.001`, with the title `rnn_width, lr`. Samples go by their names. `is_numeric`:
    one hyperparameter, of numbers.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    title: str
    is_numeric: bool


def make_group_axis(groups: Sequence[PlannedGroup]) -> GroupAxis:
    """Order and label groups: numbers by size, everything else as the template has it."""
    if any(_is_sample(group) for group in groups):
        return _make_sample_axis(groups)
    hyperparameters = list_hyperparameters(groups)
    shown = [h for h in hyperparameters if _varies(h, groups)] or hyperparameters
    ranks = {h: _rank_values([g.values.get(h) for g in groups]) for h in hyperparameters}
    ordered = sorted(
        groups, key=lambda g: [ranks[h][_spell_key(g.values.get(h))] for h in hyperparameters]
    )
    return GroupAxis(
        names=tuple(g.name for g in ordered),
        labels=_make_labels(ordered, shown),
        title=", ".join(shown),
        is_numeric=len(shown) == 1 and all(_is_number(g.values.get(shown[0])) for g in groups),
    )


def _is_sample(group: PlannedGroup) -> bool:
    """A named group may be called as samples are."""
    return find_sample_number(group.name) is not None and group.values.get(GROUP) != group.name


def _make_sample_axis(groups: Sequence[PlannedGroup]) -> GroupAxis:
    """Samples in the order in which they were drawn: their values are many, and told elsewhere."""
    names = tuple(group.name for group in groups)
    short = [_shorten(name, MAX_LABEL_LENGTH) for name in names]
    labels = tuple(
        label if short.count(label) == 1 else f"{label} ({place})"
        for place, label in enumerate(short, start=1)
    )
    return GroupAxis(names, labels, "sample", is_numeric=False)


def list_hyperparameters(groups: Sequence[PlannedGroup]) -> list[str]:
    """Dotted names of the grid's axes, in the template's order."""
    return list(dict.fromkeys(name for group in groups for name in group.values))


def spell_label(value: Any) -> str:
    """A value as a person would write it: `0.001`, `[64, 128]`, `kind=trivial`."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return " ".join(f"{key}={spell_label(item)}" for key, item in value.items())
    if isinstance(value, Sequence):
        return f"[{', '.join(spell_label(item) for item in value)}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def _varies(hyperparameter: str, groups: Sequence[PlannedGroup]) -> bool:
    return len({_spell_key(g.values.get(hyperparameter)) for g in groups}) > 1


def _rank_values(values: Sequence[Any]) -> dict[str, int]:
    """The place of each value: of numbers by size, of anything else by first appearance."""
    unique = {_spell_key(value): value for value in values}
    if all(_is_number(value) for value in unique.values()):
        unique = dict(sorted(unique.items(), key=lambda item: float(item[1])))
    return {key: place for place, key in enumerate(unique)}


def _spell_key(value: Any) -> str:
    """Hashable, and different for 1, 1.0, "1" and true."""
    return json.dumps(value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _make_labels(groups: Sequence[PlannedGroup], shown: Sequence[str]) -> tuple[str, ...]:
    if not shown:
        return tuple(_shorten(group.name, MAX_LABEL_LENGTH) for group in groups)
    limit = max(MAX_LABEL_LENGTH // len(shown), _MIN_VALUE_LENGTH)
    spelled = {h: _spell_apart([g.values.get(h) for g in groups]) for h in shown}
    short = [
        ", ".join(_shorten(spelled[h][place], limit) for h in shown) for place in range(len(groups))
    ]
    return tuple(
        label if short.count(label) == 1 else f"{label} ({place})"
        for place, label in enumerate(short, start=1)
    )


def _spell_apart(values: Sequence[Any]) -> list[str]:
    """Mappings by what tells them apart: their kinds where no two share one, else what differs."""
    mappings = {_spell_key(value): value for value in values if isinstance(value, Mapping)}
    kinds = [str(value.get("kind")) for value in mappings.values() if "kind" in value]
    if len(mappings) > 1 and len(set(kinds)) == len(mappings):
        return [str(v["kind"]) if isinstance(v, Mapping) else spell_label(v) for v in values]
    common = [
        key
        for key in next(iter(mappings.values()), {})
        if len(mappings) > 1
        and all(key in value for value in mappings.values())
        and len({_spell_key(value[key]) for value in mappings.values()}) == 1
    ]
    return [
        spell_label({k: item for k, item in v.items() if k not in common} or v)
        if isinstance(v, Mapping)
        else spell_label(v)
        for v in values
    ]


def _shorten(text: str, limit: int) -> str:
    """Cut out the middle: both ends tell similar texts apart."""
    if len(text) <= limit:
        return text
    end = limit // 2
    return f"{text[: limit - end - 1].rstrip()}…{text[-end:].lstrip()}"
