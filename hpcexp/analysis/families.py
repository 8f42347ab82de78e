"""Which groups are compared: the family that the template declared."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcexp.analysis.groups import GroupAxis, list_hyperparameters
from hpcexp.analysis.settings import spell_key
from hpcexp.grid import GROUP
from hpcexp.store.experiment import PlannedGroup

ALL_PAIRS = "all_pairs"


@dataclass(frozen=True)
class Family:
    """Pairs of groups by name, the first earlier in tables and figures; and in words.

    `problem` says why the declared family could not be taken; then it is all pairs.
    """

    kind: str
    pairs: tuple[tuple[str, str], ...]
    words: str
    problem: str = ""


def make_family(
    comparison: Mapping[str, Any],
    groups: Sequence[PlannedGroup],
    axis: GroupAxis,
    *,
    is_sampled: bool = False,
) -> Family:
    """The family of an experiment; where the template said nothing all pairs, of samples none."""
    kind = comparison.get("family", ALL_PAIRS)
    if kind == "baseline":
        return _make_baseline(str(comparison.get("baseline")), groups, axis)
    if kind == "axis":
        return _make_axis(comparison.get("axis"), groups, axis)
    return Family("none", (), "no pairs") if is_sampled else _make_all_pairs(axis)


def list_varied(first: PlannedGroup, second: PlannedGroup) -> tuple[str, ...]:
    """The declared names in which two groups differ."""
    names = dict.fromkeys([*first.values, *second.values])
    return tuple(n for n in names if spell_key(first.values, n) != spell_key(second.values, n))


def _make_all_pairs(axis: GroupAxis, problem: str = "") -> Family:
    pairs = tuple(itertools.combinations(axis.names, 2))
    return Family(ALL_PAIRS, pairs, _count(pairs, "all {} pairs"), problem)


def _make_baseline(baseline: str, groups: Sequence[PlannedGroup], axis: GroupAxis) -> Family:
    """All groups against one; against a named group of a grid, those that agree in all else."""
    if baseline in axis.names:
        bases = dict.fromkeys(axis.names, baseline)
        label = axis.labels[axis.names.index(baseline)]
    else:
        named = {_drop_name(g): g.name for g in groups if g.values.get(GROUP) == baseline}
        bases = {g.name: named[_drop_name(g)] for g in groups if _drop_name(g) in named}
        label = f"{baseline} of equal settings"
    if not bases:
        return _make_all_pairs(axis, f"the baseline {baseline} is not among the groups")
    place = {name: place for place, name in enumerate(axis.names)}
    pairs = tuple(
        (name, bases[name]) if place[name] < place[bases[name]] else (bases[name], name)
        for name in axis.names
        if bases.get(name, name) != name
    )
    return Family("baseline", pairs, _count(pairs, f"{{}} pairs with {label}"))


def _drop_name(group: PlannedGroup) -> tuple[str, ...]:
    return tuple(spell_key(group.values, name) for name in group.values if name != GROUP)


def _make_axis(name: str | None, groups: Sequence[PlannedGroup], axis: GroupAxis) -> Family:
    """Neighbours along the axis that agree in everything else."""
    names = list_hyperparameters(groups)
    chosen = name or (names[0] if len(names) == 1 else None)
    if chosen not in names:
        return _make_all_pairs(axis, f"{name or 'the axis'} is not among the axes")
    by_name = {group.name: group for group in groups}
    ordered = [by_name[n] for n in axis.names]
    strata: dict[tuple[str, ...], list[str]] = {}
    for group in ordered:
        others = tuple(spell_key(group.values, other) for other in names if other != chosen)
        strata.setdefault(others, []).append(group.name)
    pairs = tuple(pair for members in strata.values() for pair in itertools.pairwise(members))
    return Family("axis", pairs, _count(pairs, f"{{}} pairs of neighbours along {chosen}"))


def _count(pairs: Sequence[object], words: str) -> str:
    return "1 pair" if len(pairs) == 1 else words.format(len(pairs))
