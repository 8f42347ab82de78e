"""From the parts of a template to the hyperparameters of one group."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import BaseModel, ValidationError

from hpcexp.grid import GROUP, Group
from hpcexp.template.expressions import ExpressionError, evaluate, find_names


class DeriveError(Exception):
    """A derived hyperparameter that cannot be computed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


def assemble(
    config_class: type[BaseModel],
    params: Mapping[str, Any],
    *,
    named: Mapping[str, Mapping[str, Any]],
    derive: Mapping[str, str],
    group: Group,
) -> dict[str, Any]:
    """The hyperparameters of a group as they would be written, without the defaults.

    First its named overrides, then the values of its axes, then what is derived of all that.
    Raises DeriveError.
    """
    own = named.get(group.values.get(GROUP, ""), {})
    axes = {name: value for name, value in group.values.items() if name != GROUP}
    data = apply_dotted(merge_plain(params, own), axes)
    if not derive:
        return data
    for name in order_derived(derive):
        try:
            value = evaluate(derive[name], complete(config_class, data))
        except ExpressionError as error:
            raise DeriveError(name, f"{derive[name]}: {error}") from error
        data = apply_dotted(data, {name: value})
    return data


def order_derived(derive: Mapping[str, str]) -> list[str]:
    """The derived names in an order in which each comes after those that it reads.

    Raises DeriveError for a circle, and for what is no expression.
    """
    graph: dict[str, list[str]] = {}
    for name, expression in derive.items():
        try:
            read = find_names(expression)
        except ExpressionError as error:
            raise DeriveError(name, f"{expression}: {error}") from error
        graph[name] = [other for other in derive if any(_overlap(other, r) for r in read)]
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = error.args[1]
        raise DeriveError(circle[0], f"a circle: {' -> '.join(reversed(circle))}") from error


def complete(config_class: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters with the defaults of what is left out."""
    try:
        return config_class.model_validate(data).model_dump(mode="json")
    except ValidationError:
        # What is derived later may mend it; until then defaults stand beside what is given.
        return merge_plain(config_class.model_construct().model_dump(mode="json"), data)


def merge_plain(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings name by name; a section of another `kind` replaces the one before."""
    merged = dict(base)
    for key, value in child.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            kinds = [section["kind"] for section in (before, value) if "kind" in section]
            is_other = len(kinds) == 2 and kinds[0] != kinds[1]
            merged[key] = dict(value) if is_other else merge_plain(before, value)
        else:
            merged[key] = value
    return merged


def apply_dotted(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values at their dotted names; a value replaces a whole section.

    Copies the sections on the way and shares the others: `base` is left as it was.
    """
    result = dict(base)
    for name, value in values.items():
        *sections, leaf = name.split(".")
        target = result
        for section in sections:
            child = target.get(section)
            target[section] = dict(child) if isinstance(child, Mapping) else {}
            target = target[section]
        target[leaf] = value
    return result


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
