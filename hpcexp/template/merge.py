"""Layers of a template on top of each other; every value keeps the place it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hpcexp.errors import Problem
from hpcexp.template.document import Entries
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node

_NOUNS = {"grid": "axis", "derive": "derived hyperparameter"}
_REMOVABLE = ("zip", "groups", "sample", "exclude")
_MERGED_SECTIONS = ("params", "resources", "profiles")


def merge_layers(layers: Iterable[Mapping[str, Node]]) -> tuple[Entries, list[Problem]]:
    """The layers merged, later ones winning, and the faults found in doing so.

    `params`, `resources` and `profiles` merge name by name, however deep (but a section of
    another `kind` replaces the one before); of `grid` an
    axis replaces the axis of that name, and null removes it, and so with `derive`; anything
    else is replaced, and of `zip`, `groups`, `sample` and `exclude` null removes what is
    inherited. The keys of `sample` merge, and the axes in it as those of `grid`.
    """
    merged: Entries = {}
    problems: list[Problem] = []
    for layer in layers:
        for key, node in layer.items():
            if key in ("grid", "derive"):
                merged[key] = _merge_axes(merged.get(key), node, problems, noun=_NOUNS[key])
            elif key in _REMOVABLE and node.value is None:
                merged.pop(key, None)
            elif key == "sample" and key in merged:
                merged[key] = _merge_sample(merged[key], node, problems)
            elif key in _MERGED_SECTIONS and key in merged:
                merged[key] = merge_deep(merged[key], node)
            else:
                merged[key] = node
    return merged, problems


def merge_deep(base: Node, child: Node) -> Node:
    """Two mappings name by name; of anything else the child.

    A section that names another `kind` than the base does replaces it whole: what the base
    says is about another kind of thing.
    """
    if not isinstance(base.value, dict) or not isinstance(child.value, dict):
        return child
    if _names_other_kind(base.value, child.value):
        return child
    merged = dict(base.value)
    for key, node in child.value.items():
        merged[key] = merge_deep(merged[key], node) if key in merged else node
    return Node(merged, child.origin)


def _merge_sample(base: Node, child: Node, problems: list[Problem]) -> Node:
    merged = {**base.entries, **child.entries}
    if "axes" in base.entries and "axes" in child.entries:
        axes = base.entries["axes"], child.entries["axes"]
        merged["axes"] = _merge_axes(*axes, problems, noun="sampled axis")
    return Node(merged, child.origin) if isinstance(child.value, dict) else child


def _names_other_kind(base: Mapping[str, Node], child: Mapping[str, Node]) -> bool:
    kinds = [section["kind"].value for section in (base, child) if "kind" in section]
    return len(kinds) == 2 and kinds[0] != kinds[1]


def _merge_axes(base: Node | None, child: Node, problems: list[Problem], *, noun: str) -> Node:
    inherited = base.entries if base else {}
    axes = dict(inherited)
    for name, node in child.entries.items():
        if node.value is not None:
            axes[name] = node
        elif name in inherited:
            axes.pop(name)
        else:
            hint = describe_alternatives(name, inherited)
            problems.append(node.origin.problem(f"no {noun} to remove with null{hint}"))
    return Node(axes, child.origin)
