"""The best samples, and what they came to when they were trained anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcexp.analysis.sampled.table import SampleTable

NUM_BEST = 5


@dataclass(frozen=True)
class BestSample:
    """One of the best by the runs that all samples have.

    `fresh` is the median of `num_fresh` initialisations that had no part in the choice, NaN
    without any: it is what the sample is worth. `value` is better than that by luck.
    """

    group: str
    values: Mapping[str, Any]
    value: float
    num_runs: int
    fresh: float
    num_fresh: int


def find_best(table: SampleTable, *, count: int = NUM_BEST) -> tuple[BestSample, ...]:
    """The best samples, the very best first; diverged ones are never among them."""
    usable = np.flatnonzero(np.isfinite(table.first))
    order = usable[np.argsort(table.first[usable], kind="stable")][:count]
    return tuple(
        BestSample(
            group=table.groups[row],
            values=table.values[row],
            value=float(table.first[row]),
            num_runs=int(table.num_first[row]),
            fresh=float(table.fresh[row]),
            num_fresh=int(table.num_fresh[row]),
        )
        for row in order
    )
