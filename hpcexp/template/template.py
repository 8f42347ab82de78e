"""A checked template: what to train, in which groups, how often, with which resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from hpcexp.grid import Group, Run, expand_groups, expand_runs
from hpcexp.sampling import ADAPTIVE, draw_described
from hpcexp.template.assemble import assemble
from hpcexp.template.comparison import Comparison
from hpcexp.template.nodes import Source
from hpcexp.template.notify import Notify
from hpcexp.template.resources import Resources
from hpcexp.template.track import Track
from hpcexp.workloads import load_config_class


@dataclass(frozen=True)
class Template:
    """A template after `extends`, profile and overrides; every group of it is valid.

    `params` are the hyperparameters as written, nested, without the defaults; `grid` maps
    the dotted name of each axis to its values, and so does each of `zips`, whose axes move
    together; `named` maps the names of `groups` to their hyperparameters, `derive` dotted
    names to expressions; `sample` is as written, empty without sampled axes; all are JSON-able.
    `overrides` are the
    `--set` texts, and those of `rand_inits` and `name`, in the order they were applied.
    `sources` are the files that were read, the template itself first. `site` says which
    laboratory's site filled in what it leaves out (hpcexp.site). `checked` are configurations
    of groups, by name, that need not be validated again.
    """

    name: str
    question: str | None
    workload: str
    params: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    zips: tuple[Mapping[str, tuple[Any, ...]], ...]
    named: Mapping[str, Mapping[str, Any]]
    exclude: tuple[Mapping[str, Any], ...]
    derive: Mapping[str, str]
    sample: Mapping[str, Any]
    rand_inits: int
    seed: int
    comparison: Comparison
    resources: Resources
    notify: Notify
    track: Track
    profile: str | None
    overrides: tuple[str, ...]
    sources: tuple[Source, ...]
    site: Mapping[str, Any] = field(default_factory=dict)
    checked: Mapping[str, BaseModel] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_search(self) -> bool:
        """Whether later samples depend on the results of earlier ones."""
        return self.sample.get("method") in ADAPTIVE

    @property
    def num_runs(self) -> int:
        """Groups times random initialisations."""
        return len(self.groups()) * self.rand_inits

    def groups(self) -> tuple[Group, ...]:
        """The hyperparameter combinations: named groups, grid, zips, samples, the last fastest."""
        return self._groups

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        return expand_groups(
            self.grid,
            named=self.named,
            zips=self.zips,
            exclude=self.exclude,
            samples=draw_described(self.sample),
        )

    def runs(self) -> tuple[Run, ...]:
        """Every group with every random initialisation, group by group."""
        return expand_runs(self.groups(), rand_inits=self.rand_inits)

    def config_for(self, group: Group) -> dict[str, Any]:
        """All the hyperparameters of a group, defaults included, JSON-able."""
        config = self.checked.get(group.name)
        if config is None:
            config_class = load_config_class(self.workload)
            data = assemble(
                config_class, self.params, named=self.named, derive=self.derive, group=group
            )
            config = config_class.model_validate(data)
        return config.model_dump(mode="json")
