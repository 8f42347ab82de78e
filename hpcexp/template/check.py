"""Hyperparameters against the workload's model, each value of params and grid by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hpcexp.errors import Problem
from hpcexp.sampling import Points, Space
from hpcexp.template.assemble import apply_dotted
from hpcexp.template.faults import CROSS_FIELD_KINDS, Fault, explain_unknown, find_faults
from hpcexp.template.fields import allows_type, describe_allowed, find_variants, list_fields
from hpcexp.template.names import suggest
from hpcexp.template.nodes import Node, canonical, find_nearest, show, to_plain

MAX_RUNS = 100_000


@dataclass
class Checked:
    """What is left of params and grid without the faulty parts, and the faults.

    `given` are the dotted names that the template sets; `configs` are those of the groups that
    were found valid, by the group's name.
    `doubtful` are the names whose value was left out, or was perhaps meant: what a rule
    says about them later is an echo of a fault that is already told.
    """

    params: dict[str, Any]
    given: frozenset[str]
    axes: dict[str, list[Node]] = field(default_factory=dict)
    zips: list[dict[str, list[Node]]] = field(default_factory=list)
    named: dict[str, Node] = field(default_factory=dict)
    exclude: list[dict[str, Any]] = field(default_factory=list)
    derive: dict[str, Node] = field(default_factory=dict)
    space: Space | None = None
    samples: Points | None = None
    sampled: dict[str, Node] = field(default_factory=dict)
    configs: dict[str, BaseModel] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    missing: set[tuple[str | int, ...]] = field(default_factory=set)


def check_values(config_class: type[BaseModel], params: Node, grid: Node, *, noun: str) -> Checked:
    """Check types, ranges and names; rules across values are left to the groups."""
    plain = to_plain(params)
    checked = Checked(params=plain, given=frozenset({*list_names(plain), *grid.entries}))
    _check_params(config_class, params, grid.entries, checked, noun)
    for name, node in grid.entries.items():
        kept = _drop_repeats(check_axis(config_class, name, node, checked, noun), checked)
        if kept:
            checked.axes[name] = kept
    checked.problems += _find_overlaps(grid.entries)
    return checked


def check_axis(
    config_class: type[BaseModel], name: str, node: Node, checked: Checked, noun: str
) -> list[Node]:
    """The values of an axis that the model accepts; the faults of the others are noted."""
    items = _list_items(config_class, name, node, checked, noun)
    return [item for item in items if check_item(config_class, name, item, checked, noun)]


def check_num_runs(grid: Node, checked: Checked, *, rand_inits: int) -> list[Problem]:
    """Refuse a grid that is far larger than anyone means, before it is expanded."""
    sizes = {"groups": len(checked.named)} if checked.named else {}
    sizes |= {name: len(items) for name, items in checked.axes.items()}
    for zipped in checked.zips:
        name, items = next(iter(zipped.items()))
        sizes[name] = len(items)
    if checked.samples is not None:
        sizes["samples"] = len(checked.samples.values)
    num_runs = math.prod(sizes.values()) * rand_inits
    if num_runs <= MAX_RUNS:
        return []
    factors = " x ".join(f"{size} {name}" for name, size in sizes.items())
    product = f"{factors} x {rand_inits} rand_inits" if factors else f"{rand_inits} rand_inits"
    return [grid.origin.problem(f"{num_runs} runs ({product}); at most {MAX_RUNS}")]


def _check_params(
    config_class: type[BaseModel],
    params: Node,
    axes: Iterable[str],
    checked: Checked,
    noun: str,
) -> None:
    faults = [
        fault
        for fault in find_faults(config_class, checked.params, noun=noun)
        if not _is_left_to_groups(fault, config_class, axes)
    ]
    for fault in faults:
        nearest, rest = find_nearest(params, fault.names)
        message = _explain_known_key(fault, config_class) or fault.message
        checked.problems.append(nearest.origin.problem(message, inside=rest))
        if fault.kind == "missing":
            checked.missing.add(fault.names)
        _doubt(fault.names, fault.kind, config_class, checked)
        _remove(checked.params, fault.names)


def _is_left_to_groups(fault: Fault, model: type[BaseModel], axes: Iterable[str]) -> bool:
    """A rule across fields, or a required field that an axis gives."""
    if fault.kind in CROSS_FIELD_KINDS:
        return allows_type(find_variants(model, fault.names), "object")
    dotted = f"{join_names(fault.names)}."
    return fault.kind == "missing" and any(dotted.startswith(f"{axis}.") for axis in axes)


def _explain_known_key(fault: Fault, model: type[BaseModel]) -> str | None:
    """`loss_weights.kld: 0` under params, where sections are nested; a field of another kind."""
    dotted = join_names(fault.names)
    if fault.kind != "extra_forbidden" or dotted not in list_fields(model):
        return None
    if not any("." in str(name) for name in fault.names):
        section, _, name = dotted.rpartition(".")
        return f"another kind of {section} has {name}, the one that is given has not"
    first, *others = dotted.split(".")
    nested = "".join(f"{{{name}: " for name in others) + "..." + "}" * len(others)
    return f"names with dots are for grid; write {first}: {nested}"


def _doubt(
    names: tuple[str | int, ...], kind: str, config_class: type[BaseModel], checked: Checked
) -> None:
    """Doubt a faulty name; of an unknown one also what was meant, unless that is given."""
    dotted = join_names(names)
    doubtful = [dotted]
    if kind == "extra_forbidden":
        near = suggest(dotted, list_fields(config_class))
        doubtful += [name for name in near if name not in checked.given]
    checked.doubtful.update(doubtful, (name.rpartition(".")[2] for name in doubtful))


def _remove(params: dict[str, Any], names: tuple[str | int, ...]) -> None:
    """Remove the field at `names`; of a faulty item of a list the whole list."""
    *sections, leaf = [name for name in names if isinstance(name, str)]
    for section in sections:
        child = params.get(section)
        if not isinstance(child, dict):
            return
        params = child
    params.pop(leaf, None)


def _list_items(
    config_class: type[BaseModel], name: str, node: Node, checked: Checked, noun: str
) -> list[Node]:
    variants = find_variants(config_class, name.split("."))
    if not variants:
        message = explain_unknown(name, config_class, noun=noun)
        _doubt(tuple(name.split(".")), "extra_forbidden", config_class, checked)
    elif not node.items:
        message = _explain_no_axis(name, node)
        checked.doubtful.update((name, name.rpartition(".")[2]))
    elif not allows_type(variants, "array") or _has_list(node):
        return node.items
    elif all(variant.get("type") == "array" for variant in variants):
        allowed = describe_allowed(variants)
        written = show([to_plain(node)])
        message = f"an axis is a list of values, and each value must be {allowed}; write {written}"
    else:
        return node.items
    checked.problems.append(node.origin.problem(message))
    return []


def _has_list(node: Node) -> bool:
    return any(isinstance(item.value, list) for item in node.items)


def _explain_no_axis(name: str, node: Node) -> str:
    if isinstance(node.value, list):
        return "empty; give at least one value, or null to remove an inherited axis"
    if isinstance(node.value, dict):
        inner = next(iter(node.entries), "NAME")
        return f"must be a list of values; write a nested name with dots: {name}.{inner}: [...]"
    return f"must be a list of values; write [{show(node.value)}]"


def check_item(
    config_class: type[BaseModel], axis: str, item: Node, checked: Checked, noun: str
) -> bool:
    """Whether a value of an axis is good by itself; reports what is wrong inside it."""
    place = tuple(axis.split("."))
    data = apply_dotted(checked.params, {axis: to_plain(item)})
    faults = [
        fault
        for fault in find_faults(config_class, data, noun=noun)
        if fault.names[: len(place)] == place
    ]
    for fault in faults:
        nearest, rest = find_nearest(item, fault.names[len(place) :])
        checked.problems.append(nearest.origin.problem(fault.message, inside=rest))
        checked.doubtful.update((axis, place[-1]))
    return not faults


def _drop_repeats(items: list[Node], checked: Checked) -> list[Node]:
    seen: dict[str, Node] = {}
    for item in items:
        value = to_plain(item)
        first = seen.setdefault(canonical(value), item)
        if first is not item:
            checked.problems.append(item.origin.problem(_explain_repeat(first, item)))
    return list(seen.values())


def _explain_repeat(first: Node, second: Node) -> str:
    shown = show(to_plain(second))
    earlier = show(to_plain(first))
    same = "" if shown == earlier else f" ({earlier} is the same value)"
    return f"{shown} is given twice{same}; keep one"


def _find_overlaps(axes: Mapping[str, Node]) -> list[Problem]:
    return [
        inner_node.origin.problem(
            f"overlaps the axis {outer}{_name_line(axes[outer])}; keep one of the two"
        )
        for outer in axes
        for inner, inner_node in axes.items()
        if inner.startswith(f"{outer}.")
    ]


def _name_line(node: Node) -> str:
    return "" if node.origin.line is None else f" of line {node.origin.line}"


def list_names(params: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of nested hyperparameters, sections included."""
    for name, value in params.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from list_names(value, f"{prefix}{name}.")


def join_names(names: Iterable[str | int]) -> str:
    """The dotted name of a place; the items of a list go by the list's name."""
    return ".".join(name for name in names if isinstance(name, str))
