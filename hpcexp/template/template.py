"""A checked template: what to train, in which groups, how often, with which resources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpcexp.grid import Group, Run, expand_groups, expand_runs
from hpcexp.template.nodes import Source
from hpcexp.template.resources import Resources
from hpcexp.workloads import load_config_class


@dataclass(frozen=True)
class Template:
    """A template after `extends`, profile and overrides; every group of it is valid.

    `params` are the hyperparameters as written, nested, without the defaults; `grid` maps
    the dotted name of each axis to its values; both are JSON-able. `overrides` are the
    `--set` texts, and those of `rand_inits` and `name`, in the order they were applied.
    `sources` are the files that were read, the template itself first.
    """

    name: str
    question: str | None
    workload: str
    params: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    rand_inits: int
    seed: int
    resources: Resources
    profile: str | None
    overrides: tuple[str, ...]
    sources: tuple[Source, ...]

    @property
    def num_runs(self) -> int:
        """Groups times random initialisations."""
        return math.prod(len(values) for values in self.grid.values()) * self.rand_inits

    def groups(self) -> tuple[Group, ...]:
        """The hyperparameter combinations of the grid, the last axis fastest."""
        return expand_groups(self.grid)

    def runs(self) -> tuple[Run, ...]:
        """Every group with every random initialisation, group by group."""
        return expand_runs(self.groups(), rand_inits=self.rand_inits)

    def config_for(self, group: Group) -> dict[str, Any]:
        """All the hyperparameters of a group, defaults included, JSON-able."""
        config_class = load_config_class(self.workload)
        config = config_class.model_validate(apply_dotted(self.params, group.values))
        return config.model_dump(mode="json")


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
