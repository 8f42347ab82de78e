"""`zip`, `groups`, `sample`, `exclude` and `derive` against the workload's model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from hpcexp.errors import Problem
from hpcexp.grid import GROUP, expand_groups, matches
from hpcexp.template.assemble import DeriveError, order_derived
from hpcexp.template.check import Checked, check_axis
from hpcexp.template.document import Entries, check_name
from hpcexp.template.expressions import ExpressionError, find_names
from hpcexp.template.faults import explain_unknown
from hpcexp.template.fields import find_variants
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node, canonical, show, to_plain
from hpcexp.template.sample import check_sample

_Check = Callable[[type[BaseModel], Node, Checked, str], None]


def check_factors(
    config_class: type[BaseModel], entries: Entries, checked: Checked, *, noun: str
) -> None:
    """Check what else makes groups, and keep in `checked` what is left without the faults."""
    checks: dict[str, _Check] = {
        "zip": _check_zips,
        "groups": _check_named,
        "sample": check_sample,
        "derive": _check_derive,
        "exclude": _check_exclude,
    }
    for key, check in checks.items():
        if key in entries and entries[key].value is not None:
            check(config_class, entries[key], checked, noun)


def list_factors(checked: Checked) -> dict[str, list[Node]]:
    """Every axis with its values, those of zips as well."""
    return {**checked.axes, **{k: v for zipped in checked.zips for k, v in zipped.items()}}


def _check_zips(config_class: type[BaseModel], node: Node, checked: Checked, noun: str) -> None:
    if not isinstance(node.value, dict | list):
        checked.problems.append(node.origin.problem(_ZIP_FORM))
        return
    for together in node.items or [node]:
        if together.entries:
            _check_zip(config_class, together, checked, noun)
        else:
            checked.problems.append(together.origin.problem(_ZIP_FORM))


_ZIP_FORM = (
    "must be a mapping of axes that move together, such as "
    "{max_epoch: [4000, 9000], lr: [0.001, 0.0005]}, or a list of such mappings"
)


def _check_zip(config_class: type[BaseModel], node: Node, checked: Checked, noun: str) -> None:
    known = list_factors(checked)
    kept: dict[str, list[Node]] = {}
    is_whole = True
    for name, axis in node.entries.items():
        if name in known:
            message = f"{name} is an axis already{_name_line(known[name][0])}; keep one of the two"
            checked.problems.append(axis.origin.problem(message))
            is_whole = False
            continue
        items = check_axis(config_class, name, axis, checked, noun)
        is_whole &= len(items) == len(axis.items) > 0
        kept[name] = axis.items
    first, *others = kept or {"": []}
    for name in others:
        if len(kept[name]) != len(kept[first]):
            message = (
                f"has {len(kept[name])} values, {first}{_name_line(node.entries[first])} has "
                f"{len(kept[first])}; axes that move together are of equal length"
            )
            checked.problems.append(node.entries[name].origin.problem(message))
            is_whole = False
    if not is_whole:
        checked.doubtful.update(node.entries)
        return
    rows = [tuple(canonical(to_plain(i)) for i in row) for row in zip(*kept.values(), strict=True)]
    if len(set(rows)) < len(rows):
        message = "gives the same combination of values twice; keep one"
        checked.problems.append(node.origin.problem(message))
        return
    checked.zips.append(kept)


def _check_named(config_class: type[BaseModel], node: Node, checked: Checked, noun: str) -> None:
    del config_class, noun  # what a group says is checked with the whole of its group
    if not node.entries:
        message = "must be a mapping of names to hyperparameters: {small: {rnn_width: 16}}"
        checked.problems.append(node.origin.problem(message))
        return
    for name, child in node.entries.items():
        try:
            check_name(name)
        except ValueError as error:
            checked.problems.append(child.origin.problem(str(error)))
            continue
        if child.value is not None and not isinstance(child.value, dict):
            message = "must be a mapping of hyperparameters, as under params; {} changes nothing"
            checked.problems.append(child.origin.problem(message))
            continue
        checked.named[name] = Node(child.entries, child.origin)


def _check_derive(config_class: type[BaseModel], node: Node, checked: Checked, noun: str) -> None:
    axes = [*list_factors(checked), *checked.sampled]
    for name, child in node.entries.items():
        if not find_variants(config_class, name.split(".")):
            message = explain_unknown(name, config_class, noun=noun)
        elif any(f"{a}.".startswith(f"{name}.") or f"{name}.".startswith(f"{a}.") for a in axes):
            message = f"{name} is an axis as well; a hyperparameter is either given or derived"
        elif isinstance(child.value, bool) or not isinstance(child.value, str | int | float):
            message = f"{show(to_plain(child))} is no expression, such as 32000 * batch_size // 128"
        else:
            message = _find_expression_fault(config_class, str(child.value), noun)
            if not message:
                checked.derive[name] = Node(str(child.value), child.origin)
                continue
        checked.problems.append(child.origin.problem(message))
        checked.doubtful.update((name, name.rpartition(".")[2]))
    try:
        order_derived({name: str(child.value) for name, child in checked.derive.items()})
    except DeriveError as error:
        checked.problems.append(checked.derive[error.name].origin.problem(error.message))
        checked.derive.clear()


def _find_expression_fault(config_class: type[BaseModel], expression: str, noun: str) -> str:
    try:
        names = find_names(expression)
    except ExpressionError as error:
        return f"{show(expression)}: {error}"
    unknown = [name for name in names if not find_variants(config_class, name.split("."))]
    return "; ".join(
        f"{name}: {explain_unknown(name, config_class, noun=noun)}" for name in unknown
    )


def _check_exclude(config_class: type[BaseModel], node: Node, checked: Checked, noun: str) -> None:
    del config_class, noun
    if not isinstance(node.value, list):
        message = "must be a list of combinations, such as [{batch_size: 128, rnn_width: 16}]"
        checked.problems.append(node.origin.problem(message))
        return
    names = [*list_factors(checked), *checked.sampled, *([GROUP] if checked.named else [])]
    groups = [group.values for group in expand(checked)]
    for entry in node.items:
        problem = _find_entry_fault(entry, names, groups, checked.doubtful)
        if problem is not None:
            checked.problems.append(problem)
        else:
            checked.exclude.append(to_plain(entry))
    if groups and all(any(matches(g, e) for e in checked.exclude) for g in groups):
        checked.problems.append(node.origin.problem("leaves no group at all"))
        checked.exclude.clear()


def _find_entry_fault(
    entry: Node, names: Iterable[str], groups: Iterable[Mapping[str, Any]], doubtful: set[str]
) -> Problem | None:
    if not entry.entries:
        return entry.origin.problem("must be a mapping of axes to values, such as {lr: 0.1}")
    for name, child in entry.entries.items():
        if name in doubtful:
            return None  # the fault of that axis is told already
        if name not in names:
            hint = describe_alternatives(name, list(names))
            return child.origin.problem(f"no such axis{hint}")
    if not any(matches(values, to_plain(entry)) for values in groups):
        return entry.origin.problem(
            f"{show(to_plain(entry))} matches no combination: nothing would be excluded"
        )
    return None


def expand(checked: Checked) -> Any:
    """The groups of what was checked, with plain values."""
    return expand_groups(
        {name: [to_plain(i) for i in items] for name, items in checked.axes.items()},
        named=checked.named,
        zips=[{n: [to_plain(i) for i in items] for n, items in z.items()} for z in checked.zips],
        exclude=checked.exclude,
        samples=checked.samples,
    )


def _name_line(node: Node) -> str:
    return "" if node.origin.line is None else f" of line {node.origin.line}"
