"""Which axes matter: a trend along each, with the level held over all of them."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.sampled.table import SampleTable
from hpcexp.analysis.statistics.multiplicity import adjust_holm
from hpcexp.analysis.statistics.reach import LEVEL
from hpcexp.analysis.statistics.several import NUM_PERMUTATIONS, kruskal_wallis
from hpcexp.analysis.statistics.values import double_midranks
from hpcexp.analysis.statistics.verdicts import Verdict

MIN_SAMPLES = 6
_MIN_VALUES = 4  # fewer numbers are levels, as those of a choice


@dataclass(frozen=True)
class AxisTrend:
    """What the samples say about one axis.

    `rho` is Spearman's correlation with the metric, NaN of an axis without an order; `bend` is
    the share of the ranks' variance that a curve explains beyond a line. `best` are the values of
    the best fifth of the samples: a range, or the level with the best median.
    """

    axis: str
    num_samples: int
    rho: float
    bend: float
    p: float
    adjusted_p: float
    verdict: Verdict
    best: tuple[Any, ...]

    @property
    def shape(self) -> str:
        """`rises`, `falls`, `bends up` (best in the middle), `bends down`, or `differs`."""
        if math.isnan(self.rho):
            return "differs"
        if abs(self.bend) > self.rho**2:
            return "bends up" if self.bend > 0 else "bends down"
        return "rises" if self.rho > 0 else "falls"


def find_trends(table: SampleTable, *, generator: np.random.Generator) -> tuple[AxisTrend, ...]:
    """One trend for each axis of at least six samples and two values.

    Only samples that no result had a part in choosing are tested: where an adaptive search went
    tells where it found good values, and a test on those would find them again.
    Numbers: the share of the variance of the metric's ranks that a parabola in the ranks of the
    axis explains, against 4999 permutations; it sees lines and bends. Levels: Kruskal-Wallis.
    The median of a sample counts once, however many initialisations it has.
    """
    found = [
        trend
        for axis in table.axes
        if (trend := _find_trend(table, axis, generator=generator)) is not None
    ]
    adjusted = adjust_holm([trend.p for trend in found])
    return tuple(
        dataclasses.replace(trend, adjusted_p=a.p, verdict=_judge(trend.p, a.p))
        for trend, a in zip(found, adjusted, strict=True)
    )


def _judge(p: float, adjusted_p: float) -> Verdict:
    if adjusted_p <= LEVEL:
        return Verdict.SUPPORTED
    return Verdict.SUGGESTIVE if p <= LEVEL else Verdict.INCONCLUSIVE


def _find_trend(
    table: SampleTable, axis: str, *, generator: np.random.Generator
) -> AxisTrend | None:
    rows, values = table.pick(axis)
    usable = [
        i for i, row in enumerate(rows) if table.is_drawn[row] and not math.isnan(table.first[row])
    ]
    values = [values[i] for i in usable]
    y = table.first[rows[usable]] if usable else np.empty(0)
    levels = {json.dumps(value, sort_keys=True): value for value in values}
    if len(values) < MIN_SAMPLES or len(levels) < 2:
        return None
    if len(levels) < _MIN_VALUES or not all(_is_number(value) for value in levels.values()):
        parts: dict[str, list[float]] = {key: [] for key in levels}
        for value, outcome in zip(values, y.tolist(), strict=True):
            parts[json.dumps(value, sort_keys=True)].append(outcome)
        best = min(parts, key=lambda key: float(np.median(parts[key])))
        p = kruskal_wallis(list(parts.values()))
        return AxisTrend(
            axis, len(values), math.nan, 0.0, p, p, Verdict.INCONCLUSIVE, (levels[best],)
        )
    x = np.array(values, np.float64)
    rho, bend, p = measure_parabola(x, y, generator=generator)
    order = np.argsort(y, kind="stable")[: max(3, len(y) // 5)]
    ends = (values[order[np.argmin(x[order])]], values[order[np.argmax(x[order])]])
    return AxisTrend(axis, len(values), rho, bend, p, p, Verdict.INCONCLUSIVE, ends)


def measure_parabola(
    x: NDArray[np.float64], y: NDArray[np.float64], *, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Spearman's rho, the signed share of a bend, and p by permutation; x and y are (samples,).

    The bend is positive where values in the middle of x are the lowest. p is 1 where either does
    not vary.
    """
    u, v = _standardise(x), _standardise(y)
    if u is None or v is None:
        return math.nan, 0.0, 1.0
    square = u**2
    square = square - square.mean()
    square = square - (square @ u) * u
    length = float(np.linalg.norm(square))
    curve = square / length if length > 1e-9 else np.zeros_like(u)
    basis = np.stack([u, curve], axis=1)
    observed = v @ basis
    drawn = generator.permuted(np.tile(v, (NUM_PERMUTATIONS, 1)), axis=1) @ basis
    explained, largest = float((observed**2).sum()), (drawn**2).sum(axis=1)
    p = (1 + int((largest >= explained * (1 - 1e-9)).sum())) / (1 + NUM_PERMUTATIONS)
    return float(observed[0]), float(math.copysign(observed[1] ** 2, observed[1])), p


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    ranks = double_midranks(values).astype(np.float64)
    ranks -= ranks.mean()
    length = float(np.linalg.norm(ranks))
    return None if length == 0 else ranks / length


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
