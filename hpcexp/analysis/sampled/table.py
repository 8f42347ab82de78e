"""One row per sample: its values and what it came to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import list_hyperparameters, spell_label
from hpcexp.analysis.summary import describe_distribution
from hpcexp.grid import GROUP
from hpcexp.sampling import Space, find_sample_number, parse_space
from hpcexp.sampling.conditions import keep_active
from hpcexp.store.experiment import Plan


@dataclass(frozen=True, eq=False)
class SampleTable:
    """The groups that have outcomes, in the plan's order; arrays are (groups,).

    `numbers` are those of the samples, -1 for a group that was added by hand. `values` has no
    entry for an axis that is not there in a group. `first` is the median of the initialisations
    that all groups were planned with, `fresh` of those that were added to some, NaN without any;
    a diverged run is infinite. `num_drawn` samples did not depend on results.
    """

    groups: tuple[str, ...]
    numbers: NDArray[np.int64]
    values: tuple[Mapping[str, Any], ...]
    first: NDArray[np.float64]
    fresh: NDArray[np.float64]
    num_first: NDArray[np.int64]
    num_fresh: NDArray[np.int64]
    axes: tuple[str, ...]
    space: Space
    num_planned: int

    @property
    def num_drawn(self) -> int:
        """Samples with smaller numbers were drawn without regard to results."""
        return self.space.num_drawn

    @property
    def is_drawn(self) -> NDArray[np.bool_]:
        """Whether each row is a sample that no result had a part in choosing."""
        return (self.numbers >= 0) & (self.numbers < self.num_drawn)

    def pick(self, axis: str) -> tuple[NDArray[np.int64], list[Any]]:
        """The rows in which an axis is there, and its values in them."""
        rows = [row for row, values in enumerate(self.values) if axis in values]
        return np.array(rows, np.int64), [self.values[row][axis] for row in rows]


def is_sampled(plan: Plan) -> bool:
    """Whether the axes of an experiment were drawn from distributions."""
    return bool(plan.sample) and parse_space(plan.sample)[0] is not None


def describe_distributions(plan: Plan) -> dict[str, str]:
    """What each sampled axis was drawn from, such as `1e-05 to 0.01 (log_uniform)`."""
    space, _ = parse_space(plan.sample) if plan.sample else (None, ())
    described = {}
    for axis in space.axes if space is not None else ():
        shown = [spell_label(argument) for argument in axis.arguments]
        if axis.distribution == "choice":
            described[axis.name] = ", ".join(shown)
        elif axis.distribution == "normal":
            described[axis.name] = f"{shown[0]} ± {shown[1]} (normal)"
        else:
            described[axis.name] = f"{shown[0]} to {shown[1]} ({axis.distribution})"
        for name, values in axis.only_if.items():
            wanted = " or ".join(spell_label(value) for value in values)
            described[axis.name] += f", if {name} is {wanted}"
    return described


def make_sample_table(results: Results) -> SampleTable:
    """The samples of an experiment that have outcomes.

    Raises ValueError where its axes were not sampled.
    """
    plan = results.plan
    space, _ = parse_space(plan.sample)
    if space is None:
        raise ValueError(f"{plan.name}: its axes were not sampled")
    common = min(len(runs) for runs in plan.list_members().values())
    final = results.runs[f"final.{results.metric.name}"].to_numpy(np.float64)
    names = results.runs["group"].astype(str).to_numpy()
    is_first = results.runs["rand_init"].to_numpy() < common
    rows = []
    for group in plan.groups:
        own = (names == group.name) & ~np.isnan(final)
        if own.any():
            first, fresh = final[own & is_first], final[own & ~is_first]
            number = find_sample_number(group.name)
            rows.append((group, -1 if number is None else number, first, fresh))
    return SampleTable(
        groups=tuple(group.name for group, *_ in rows),
        numbers=np.array([number for _, number, *_ in rows], np.int64),
        # A group that is added by hand makes others say their values of axes they do not have.
        values=tuple(keep_active(group.values, space.conditions) for group, *_ in rows),
        first=np.array([_take_median(first) for *_, first, _ in rows], np.float64),
        fresh=np.array([_take_median(fresh) for *_, fresh in rows], np.float64),
        num_first=np.array([len(first) for *_, first, _ in rows], np.int64),
        num_fresh=np.array([len(fresh) for *_, fresh in rows], np.int64),
        axes=tuple(name for name in list_hyperparameters(plan.groups) if name != GROUP),
        space=space,
        num_planned=len(plan.groups),
    )


def _take_median(values: NDArray[np.float64]) -> float:
    return describe_distribution(values).median if len(values) else math.nan
