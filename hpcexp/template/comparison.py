"""Which groups are held against each other, decided before the first run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpcexp.errors import Problem
from hpcexp.grid import GROUP, Group
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node, to_plain


class Comparison(BaseModel):
    """The family of comparisons whose error rate is held, and what difference is none.

    Declared in the template, so that nobody chooses it after seeing the results.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    family: Literal["all_pairs", "baseline", "axis"] = Field(
        default="all_pairs",
        description="Every group against every other, all against `baseline`, or neighbours "
        "along `axis`. Fewer comparisons find smaller differences.",
    )
    baseline: str | None = Field(
        default=None,
        description="Name of the group that all others are compared with; of groups that a grid "
        "multiplies, the name without the grid: each is compared with that of equal settings.",
    )
    axis: str | None = Field(
        default=None,
        description="Dotted name of the axis along which neighbours are compared; the grid's "
        "only one where left out.",
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        description="The largest difference of the primary metric that does not matter, in its "
        "unit: with it, groups can be shown to be equivalent.",
    )
    paired: bool = Field(
        default=True,
        description="Initialisations of one number begin alike in all groups: pairs of them are "
        "tested as well.",
    )

    @model_validator(mode="after")
    def _names_fit_family(self) -> Comparison:
        if self.family == "baseline" and self.baseline is None:
            raise ValueError("family baseline needs the name of a group; write baseline: GROUP")
        for name in ("baseline", "axis"):
            if getattr(self, name) is not None and self.family != name:
                raise ValueError(f"{name} belongs to another family; write family: {name}")
        return self


def find_unknown_names(node: Node, groups: Iterable[Group]) -> list[Problem]:
    """A baseline that is no group, and an axis that is none, of a section that is valid itself."""
    groups = list(groups)
    plain, entries = to_plain(node), node.entries
    problems = []
    baseline, axis = plain.get("baseline"), plain.get("axis")
    named = [group.values[GROUP] for group in groups if GROUP in group.values]
    names = list(dict.fromkeys([*(group.name for group in groups), *named]))
    if baseline is not None and baseline not in names:
        hint = describe_alternatives(baseline, names)
        problems.append(entries["baseline"].origin.problem(f"no such group: {baseline}{hint}"))
    axes = list(dict.fromkeys(name for g in groups for name in g.values if name != GROUP))
    if axis is not None and axis not in axes:
        hint = describe_alternatives(axis, axes) if axes else "; the template has none"
        problems.append(entries["axis"].origin.problem(f"no such axis: {axis}{hint}"))
    if plain.get("family") == "axis" and axis is None and len(axes) != 1:
        message = f"there are {len(axes)} axes; write axis: NAME"
        problems.append(entries["family"].origin.problem(message))
    return problems
