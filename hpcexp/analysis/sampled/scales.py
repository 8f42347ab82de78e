"""Where along an axis of a figure a value lies: linear, by ratios, or level by level."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hpcexp.analysis.groups import spell_label
from hpcexp.analysis.sampled.table import SampleTable

_LOG_RATIO = 50.0  # numbers of a grid that span more than this are compared by ratios


@dataclass(frozen=True)
class Scale:
    """`low` and `high` are the ends of numbers; `levels` the values of anything else, in order."""

    axis: str
    kind: Literal["linear", "log", "levels"]
    low: float = 0.0
    high: float = 1.0
    levels: tuple[Any, ...] = ()

    def place(self, value: Any) -> float:
        """From 0 to 1."""
        if self.kind == "levels":
            keys = [json.dumps(level, sort_keys=True) for level in self.levels]
            return keys.index(json.dumps(value, sort_keys=True)) / max(1, len(keys) - 1)
        number = float(value)
        if self.kind == "log":
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def list_ticks(self) -> list[tuple[float, str]]:
        """Places with their labels: levels, or both ends and the middle."""
        if self.kind == "levels":
            return [(self.place(level), spell_label(level)) for level in self.levels]
        middle = math.sqrt(self.low * self.high) if self.kind == "log" else (
            (self.low + self.high) / 2
        )  # fmt: skip
        return [(self.place(v), f"{v:.3g}") for v in (self.low, middle, self.high)]


def make_scales(table: SampleTable) -> list[Scale]:
    """A scale for each axis whose values differ, in the template's order."""
    scales = []
    for axis in table.axes:
        _, values = table.pick(axis)
        distinct = {json.dumps(value, sort_keys=True): value for value in values}
        if len(distinct) > 1:
            scales.append(_make_scale(table, axis, list(distinct.values())))
    return scales


def _make_scale(table: SampleTable, axis: str, values: Sequence[Any]) -> Scale:
    sampled = {one.name: one for one in table.space.axes}.get(axis)
    is_choice = sampled is not None and sampled.distribution == "choice"
    if is_choice or not all(_is_number(value) for value in values):
        known = list(sampled.arguments) if sampled is not None and is_choice else []
        keys = {json.dumps(value, sort_keys=True): value for value in [*known, *values]}
        levels = list(keys.values())
        if all(_is_number(level) for level in levels):
            levels.sort()
        return Scale(axis, "levels", levels=tuple(levels))
    low, high = min(values), max(values)
    if sampled is not None and sampled.distribution != "normal":
        low, high = min(low, sampled.arguments[0]), max(high, sampled.arguments[1])
    is_log = sampled.is_log if sampled is not None else low > 0 and high / low > _LOG_RATIO
    return Scale(axis, "log" if is_log and low > 0 else "linear", float(low), float(high))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
