"""Axes that are there only where others have certain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Conditions = Mapping[str, Mapping[str, Sequence[Any]]]
"""Axis -> name that it depends on -> the values of that name with which the axis is there."""


def is_equal(value: Any, wanted: Any) -> bool:
    """1 and 1.0 are equal; 1 and true are not."""
    return bool(value == wanted) and isinstance(value, bool) is isinstance(wanted, bool)


def keep_active(values: Mapping[str, Any], conditions: Conditions) -> dict[str, Any]:
    """The values without those whose conditions are not met.

    What depends on a name that is not among the values, or was left out itself, is left out.
    The conditions must hold no circle.
    """
    if not conditions:
        return dict(values)
    return {name: value for name, value in values.items() if _is_active(name, values, conditions)}


def _is_active(name: str, values: Mapping[str, Any], conditions: Conditions) -> bool:
    return name in values and all(
        _is_active(other, values, conditions) and any(is_equal(values[other], w) for w in wanted)
        for other, wanted in conditions.get(name, {}).items()
    )


def find_circle(conditions: Conditions) -> list[str]:
    """Names that depend on each other in a circle, the first of them twice; empty if none do."""
    for start in conditions:
        path = [start]
        if _reaches(start, start, conditions, path):
            return path
    return []


def _reaches(name: str, goal: str, conditions: Conditions, path: list[str]) -> bool:
    for other in conditions.get(name, {}):
        if other == goal:
            path.append(other)
            return True
        if other not in path:
            path.append(other)
            if _reaches(other, goal, conditions, path):
                return True
            path.pop()
    return False


def order_by_dependence(names: Sequence[str], conditions: Conditions) -> list[str]:
    """The names in an order in which each comes after those that it depends on."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        for other in conditions.get(name, {}):
            if other in names:
                visit(other)
        if name not in ordered:
            ordered.append(name)

    for name in names:
        visit(name)
    return ordered
