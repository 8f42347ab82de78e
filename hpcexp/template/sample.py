"""`sample` against the workload's model, each flaw at its line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from hpcexp.errors import Problem
from hpcexp.grid import GROUP
from hpcexp.sampling import Axis, Space, draw_described, is_equal, parse_space
from hpcexp.template.assemble import apply_dotted
from hpcexp.template.check import Checked, check_item
from hpcexp.template.faults import explain_unknown, find_faults
from hpcexp.template.fields import find_variants
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node, find_nearest, show, to_plain

_SOMEWHERE = 0.5123  # a place along an axis that is at no end
_NAMES = "; a condition names an axis of sample, grid or zip"


def check_sample(config_class: type[BaseModel], node: Node, checked: Checked, noun: str) -> None:
    """Check the section, and keep in `checked` the space and its samples."""
    axes = node.entries["axes"].entries if "axes" in node.entries else {}
    space, flaws = parse_space(to_plain(node))
    for flaw in flaws:
        nearest, rest = find_nearest(node, flaw.names)
        checked.problems.append(nearest.origin.problem(flaw.message, inside=rest))
    num_problems = len(checked.problems)
    for name, child in axes.items():
        message = _find_name_fault(config_class, name, axes, checked, noun)
        if message:
            checked.problems.append(child.origin.problem(message))
    if space is None or len(checked.problems) > num_problems:
        checked.doubtful.update(axes)
        return
    for axis in space.axes:
        _check_conditions(axis, axes[axis.name], space, checked)
        if not axis.only_if:
            _check_ends(config_class, axis, axes[axis.name], checked, noun)
    checked.problems += _find_other_factors(space, node, checked)
    if len(checked.problems) > num_problems:
        checked.doubtful.update(axes)
        return
    samples = draw_described(to_plain(node))
    if samples is None or len(samples.values) < space.num_drawn:
        message = _explain_too_few(0 if samples is None else len(samples.values), space)
        checked.problems.append(node.entries["count"].origin.problem(message))
        return
    checked.space, checked.samples, checked.sampled = space, samples, dict(axes)


def _find_name_fault(
    config_class: type[BaseModel],
    name: str,
    axes: Iterable[str],
    checked: Checked,
    noun: str,
) -> str:
    if not find_variants(config_class, name.split(".")):
        return explain_unknown(name, config_class, noun=noun)
    for other in axes:
        if name.startswith(f"{other}."):
            return f"overlaps the sampled axis {other}; keep one of the two"
    factors = {**checked.axes, **{k: v for zipped in checked.zips for k, v in zipped.items()}}
    for other in factors:
        if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
            return f"overlaps the axis {other} of the grid; keep one of the two"
    return ""


def _check_conditions(axis: Axis, node: Node, space: Space, checked: Checked) -> None:
    """Conditions must name what takes few values, and values that it takes."""
    written = node.entries["only_if"].entries if "only_if" in node.entries else {}
    known = _list_values(space, checked)
    continuous = [other.name for other in space.axes if other.name not in known]
    for name, wanted in axis.only_if.items():
        origin = written[name].origin
        if name in continuous:
            message = "has too many values to be a condition; it must be integer or choice"
            checked.problems.append(origin.problem(message))
        elif name not in known:
            hint = describe_alternatives(name, list(known)) if known else ""
            message = f"no such axis{hint or _NAMES}"
            checked.problems.append(origin.problem(message))
        else:
            for value in wanted:
                if not any(is_equal(value, other) for other in known[name]):
                    values = ", ".join(show(other) for other in list(known[name])[:8])
                    message = f"{name} is never {show(value)}; it is one of {values}"
                    checked.problems.append(origin.problem(message))


def _list_values(space: Space, checked: Checked) -> dict[str, list[Any]]:
    """The values of all that a condition may name."""
    factors = {**checked.axes, **{k: v for zipped in checked.zips for k, v in zipped.items()}}
    known: dict[str, list[Any]] = {k: [to_plain(n) for n in v] for k, v in factors.items()}
    if checked.named:
        known[GROUP] = list(checked.named)
    for axis in space.axes:
        if axis.distribution == "choice":
            known[axis.name] = list(axis.arguments)
        elif axis.distribution == "integer":
            known[axis.name] = list(range(axis.arguments[0], axis.arguments[1] + 1))
    return known


def _check_ends(
    config_class: type[BaseModel], axis: Axis, node: Node, checked: Checked, noun: str
) -> None:
    """Both ends of a range, or all values of a choice; and that values between are allowed."""
    arguments = node.entries[axis.distribution]
    if axis.distribution != "normal":
        good = [check_item(config_class, axis.name, i, checked, noun) for i in arguments.items]
        if not all(good) or axis.distribution in ("choice", "integer"):
            return
    between = axis.take(_SOMEWHERE)
    place = tuple(axis.name.split("."))
    data = apply_dotted(checked.params, {axis.name: between})
    for fault in find_faults(config_class, data, noun=noun):
        if fault.names[: len(place)] == place:
            hint = "; write integer: [...]" if "whole number" in fault.message else ""
            checked.problems.append(arguments.origin.problem(f"{fault.message}{hint}"))


def _find_other_factors(space: Space, node: Node, checked: Checked) -> list[Problem]:
    """A search has one space: what stands beside it would multiply every trial."""
    others = {
        "grid": bool(checked.axes),
        "zip": bool(checked.zips),
        "groups": bool(checked.named),
    }
    found = [name for name, is_there in others.items() if is_there]
    if not space.is_adaptive or not found:
        return []
    message = (
        f"{space.method} searches one space, and {' and '.join(found)} would multiply each of its "
        "samples; make them axes of sample, such as {choice: [16, 32]}"
    )
    return [node.entries["method"].origin.problem(message)]


def _explain_too_few(found: int, space: Space) -> str:
    if space.method == "latin_hypercube":
        return (
            f"{space.num_drawn - found} of {space.num_drawn} samples repeat others, as axes have "
            "few values; write method: sobol, which goes on until all differ"
        )
    return (
        f"the axes have {found} different combinations, {space.num_drawn} are asked for; write a "
        "smaller count, or make them a grid"
    )
