"""`--set params.lr=0.01`: values of the command line as layers of a template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpcexp.errors import Problem
from hpcexp.template.document import PROFILE_KEYS, Entries, check_sections
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node, Origin
from hpcexp.template.read import UnreadableError, parse_value

_KEYS = (*PROFILE_KEYS, "question")


def parse_overrides(overrides: Iterable[str], *, label: str) -> tuple[list[Entries], list[Problem]]:
    """One layer for each `NAME=VALUE`, and the faults of those that are none."""
    layers: list[Entries] = []
    problems: list[Problem] = []
    for override in overrides:
        try:
            entries, found = _parse_override(override, label)
        except UnreadableError as error:
            problems.append(error.problem)
        else:
            layers.append(entries)
            problems += found
    return layers, problems


def find_shadowed(
    layers: Sequence[Entries], axes: Iterable[str], *, by: str = "grid"
) -> list[Problem]:
    """Overrides of `params` that change nothing, as an axis or a derived value replaces them."""
    names = list(axes)
    return [
        origin.problem(
            f"has no effect: {axis} is an axis of the grid; "
            f"write --set 'grid.{axis}=[...]', or remove the axis with --set grid.{axis}=null"
            if by == "grid"
            else f"has no effect: {axis} is given by {by}; change or remove it there"
        )
        for layer in layers
        if "params" in layer
        for origin, dotted in [_find_leaf(layer["params"])]
        for axis in names
        if f"{dotted}.".startswith(f"{axis}.")
    ]


def _parse_override(override: str, label: str) -> tuple[Entries, list[Problem]]:
    name, separator, text = override.partition("=")
    origin = Origin(path=label, line=None, where=f"--set {name.strip()}")
    top, _, rest = name.strip().partition(".")
    if not separator or not text.strip():
        raise UnreadableError(origin.problem("no value; write it as --set params.lr=0.01"))
    if top not in _KEYS:
        hint = describe_alternatives(top, _KEYS)
        raise UnreadableError(origin.problem(f"no such key of a template{hint}"))
    value, problems = parse_value(text, origin=origin)
    entries, found = check_sections({top: _nest(value, _split(top, rest))})
    return entries, problems + found


def _split(top: str, rest: str) -> list[str]:
    if not rest:
        return []
    if top == "sample" and rest.startswith("axes."):
        return ["axes", rest.removeprefix("axes.")]
    return [rest] if top in ("grid", "derive") else rest.split(".")


def _nest(value: Node, names: Sequence[str]) -> Node:
    for name in reversed(names):
        value = Node({name: value}, value.origin)
    return value


def _find_leaf(params: Node) -> tuple[Origin, str]:
    """The dotted name that an override of `params` sets; of a mapping its first names."""
    names: list[str] = []
    node = params
    while len(node.entries) == 1:
        name, node = next(iter(node.entries.items()))
        names.append(name)
    return node.origin, ".".join(names)
