"""Every group of a grid against the workload's model: rules across hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from hpcexp.errors import Problem
from hpcexp.grid import GROUP, Group, expand_groups
from hpcexp.template.assemble import DeriveError, assemble
from hpcexp.template.check import Checked, join_names
from hpcexp.template.factors import list_factors
from hpcexp.template.faults import Fault, translate_errors
from hpcexp.template.nodes import Node, find_nearest, to_plain

_WORD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass
class _Finding:
    """One message at one place, and the groups that it is about."""

    node: Node
    message: str
    is_about_axis: bool
    first_group: str
    num_groups: int = 0

    def to_problem(self) -> Problem:
        if not self.is_about_axis:
            return self.node.origin.problem(self.message)
        more = f" and {self.num_groups - 1} more" if self.num_groups > 1 else ""
        return self.node.origin.problem(f"{self.message} (group {self.first_group}{more})")


def check_groups(
    config_class: type[BaseModel], params: Node, checked: Checked, *, noun: str
) -> list[Problem]:
    """The rules that groups break, each told once, at the axis or parameter it names."""
    groups, items = _expand(checked)
    axes = {name: [value for _, value in pairs] for name, pairs in items.items()}
    nodes = {name: [node for node, _ in pairs] for name, pairs in items.items()}
    findings: dict[tuple[int, str], _Finding] = {}
    find_faults = _prepare(config_class, checked, noun)
    for group in groups:
        for fault in find_faults(group):
            node, is_about_axis = _locate_in_group(fault, params, checked, nodes, axes, group)
            # Every sample has another value: their messages differ by no more than that.
            is_sampled = any(node is one for one in checked.sampled.values())
            finding = findings.setdefault(
                (id(node), "" if is_sampled else fault.message),
                _Finding(node, fault.message, is_about_axis, group.name),
            )
            finding.num_groups += 1
    return [finding.to_problem() for finding in findings.values()]


def _expand(
    checked: Checked,
) -> tuple[tuple[Group, ...], dict[str, list[tuple[Node, Any]]]]:
    """The groups, and for each axis its nodes beside the very values that the groups hold."""
    items = {
        name: [(node, to_plain(node)) for node in nodes]
        for name, nodes in list_factors(checked).items()
    }
    plain = {name: [value for _, value in pairs] for name, pairs in items.items()}
    groups = expand_groups(
        {name: plain[name] for name in checked.axes},
        named=checked.named,
        zips=[{name: plain[name] for name in zipped} for zipped in checked.zips],
        exclude=checked.exclude,
        samples=checked.samples,
    )
    return groups, items


def _prepare(
    config_class: type[BaseModel], checked: Checked, noun: str
) -> Callable[[Group], list[Fault]]:
    """What finds the faults of one group, and keeps the configuration of one that has none."""
    named = {name: to_plain(node) for name, node in checked.named.items()}
    derive = {name: str(node.value) for name, node in checked.derive.items()}

    def find(group: Group) -> list[Fault]:
        try:
            data = assemble(config_class, checked.params, named=named, derive=derive, group=group)
        except DeriveError as error:
            return [Fault(names=tuple(error.name.split(".")), kind="derive", message=error.message)]
        try:
            checked.configs[group.name] = config_class.model_validate(data)
        except ValidationError as error:
            faults = translate_errors(error, model=config_class, data=data, noun=noun)
            told = [fault for fault in faults if not _is_echo(fault, checked)]
            return [_hint_whole_number(fault, checked) for fault in told]
        return []

    return find


def _hint_whole_number(fault: Fault, checked: Checked) -> Fault:
    """A derived number that should be whole: `/` gives fractions even of whole numbers."""
    name = join_names(fault.names)
    if name not in checked.derive or "is not a whole number" not in fault.message:
        return fault
    message = f"{checked.derive[name].value}: {fault.message}; write // instead of /, or int(...)"
    return Fault(names=fault.names, kind=fault.kind, message=message)


def _is_echo(fault: Fault, checked: Checked) -> bool:
    if fault.kind == "missing" and fault.names in checked.missing:
        return True
    return not checked.doubtful.isdisjoint(_list_words(fault))


def _list_words(fault: Fault) -> Iterator[str]:
    """The names in a message, in its order, then the place of the fault."""
    yield from _WORD.findall(fault.message)
    if fault.names:
        yield join_names(fault.names)


def _locate_in_group(
    fault: Fault,
    params: Node,
    checked: Checked,
    nodes: Mapping[str, list[Node]],
    axes: Mapping[str, list[Any]],
    group: Group,
) -> tuple[Node, bool]:
    """The expression or the named group that the fault is of, else a value or a parameter."""
    place = join_names(fault.names)
    for name, node in checked.derive.items():
        if f"{place}.".startswith(f"{name}.") or name in _list_words(fault):
            return node, True
    if GROUP in group.values:
        own = checked.named[group.values[GROUP]]
        if fault.names and fault.names[0] in own.entries:
            return find_nearest(own, fault.names)[0], True
        for word in _list_words(fault):
            node, rest = find_nearest(own, tuple(word.split(".")))
            if not rest:
                return node, True
    values = {name: value for name, value in group.values.items() if name != GROUP}
    if checked.sampled and _find_axis(fault, axes) is None:
        sampled = _find_axis(fault, {name: [] for name in checked.sampled})
        if sampled is not None:
            return checked.sampled[sampled], True
    return _locate(fault, params, nodes, axes, Group(name=group.name, values=values))


def _locate(
    fault: Fault,
    params: Node,
    items: Mapping[str, list[Node]],
    axes: Mapping[str, list[Any]],
    group: Group,
) -> tuple[Node, bool]:
    """The node to blame: a value of an axis that the message names, else a parameter.

    The flag says that it is the value of an axis.
    """
    axis = _find_axis(fault, axes)
    if axis is None:
        parameter = _find_parameter(fault, params)
        if parameter is not None or not axes:
            return parameter or params, False
        axis = next(iter(axes))
    value = group.values[axis]
    place = next(index for index, own in enumerate(axes[axis]) if own is value)
    return items[axis][place], True


def _find_axis(fault: Fault, axes: Mapping[str, list[Any]]) -> str | None:
    for word in _list_words(fault):
        for axis in axes:
            is_leaf = axis.endswith(f".{word}")
            if is_leaf or f"{word}.".startswith(f"{axis}.") or axis == word:
                return axis
    place = join_names(fault.names)
    return next((axis for axis in axes if place and axis.startswith(f"{place}.")), None)


def _find_parameter(fault: Fault, params: Node) -> Node | None:
    for word in _list_words(fault):
        node, rest = find_nearest(params, tuple(word.split(".")))
        if not rest:
            return node
    return None
