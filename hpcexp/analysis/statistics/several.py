"""More than two groups at once: any difference, a trend, two axes together.

They describe beside the comparisons of pairs, which alone decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcexp.analysis.statistics.values import Values, as_values, double_midranks

NUM_PERMUTATIONS = 4999
_AT_ONCE = 500


@dataclass(frozen=True)
class Trend:
    """Spearman's rank correlation and its two-sided p by permutation."""

    rho: float
    p: float


@dataclass(frozen=True)
class TwoAxes:
    """Each axis within the levels of the other, and whether one changes what the other does."""

    p_first: float
    p_second: float
    p_interaction: float


def kruskal_wallis(groups: Sequence[ArrayLike]) -> float:
    """p that some group differs in rank, (runs,) values each; asymptotic, corrected for ties.

    1 where all values are equal. Raises ValueError for fewer than two groups or an empty one.
    Source: Kruskal & Wallis 1952.
    """
    samples = [as_values(group) for group in groups]
    if len(samples) < 2 or not all(len(sample) for sample in samples):
        raise ValueError("needs two groups or more, none of them empty")
    from scipy.special import chdtrc

    ranks = double_midranks(np.concatenate(samples)) / 2
    n = len(ranks)
    ends = np.cumsum([len(sample) for sample in samples])[:-1]
    parts = np.split(ranks, ends)
    spread = float(((ranks - ranks.mean()) ** 2).sum())
    if spread == 0:
        return 1.0
    between = sum(len(part) * (float(part.mean()) - (n + 1) / 2) ** 2 for part in parts)
    return float(chdtrc(len(samples) - 1, (n - 1) * between / spread))


def spearman_trend(
    places: ArrayLike, values: ArrayLike, *, generator: np.random.Generator
) -> Trend:
    """Whether values rise or fall along a numeric axis, (runs,) both.

    p is the share of permutations with a correlation at least as large either way. rho is NaN
    and p is 1 where either does not vary. Source: Spearman 1904.
    """
    x = _centre(double_midranks(np.asarray(places, float)))
    y = _centre(double_midranks(as_values(values)))
    scale = math.sqrt(float((x**2).sum() * (y**2).sum()))
    if scale == 0:
        return Trend(math.nan, 1.0)
    observed = float(x @ y)
    drawn = _permute(y, generator) @ x
    return Trend(observed / scale, _share(np.abs(drawn), abs(observed)))


def compare_two_axes(
    first: Sequence[object],
    second: Sequence[object],
    values: ArrayLike,
    *,
    generator: np.random.Generator,
) -> TwoAxes:
    """Both axes of a grid at once: the level of each run on either, and its value, (runs,).

    The effect of an axis: ranks centred within each level of the other axis, permuted within
    it; exact if the axis does nothing. Their interaction: the residuals of the sum of both
    effects (aligned), ranked and permuted; nearly exact. Rank-transform ANOVA is not used: it
    takes two effects that add up for an interaction. A diverged run counts as the worst value
    that was reached when residuals are taken.
    Source: Edgington 1995, Randomization tests; Higgins & Tashtoush 1994 (aligned ranks).
    """
    outcomes = as_values(values)
    a, b = _encode(first), _encode(second)
    ranks = double_midranks(outcomes).astype(float)
    return TwoAxes(
        _test_within(a, b, ranks, generator),
        _test_within(b, a, ranks, generator),
        _test_interaction(a, b, _cap(outcomes), generator),
    )


def _encode(levels: Sequence[object]) -> NDArray[np.int64]:
    order = {level: place for place, level in enumerate(dict.fromkeys(levels))}
    return np.array([order[level] for level in levels], np.int64)


def _test_within(
    axis: NDArray[np.int64],
    strata: NDArray[np.int64],
    ranks: Values,
    generator: np.random.Generator,
) -> float:
    members = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    centred = ranks.copy()
    for chosen in members:
        centred[chosen] -= ranks[chosen].mean()
    levels = _dummy(axis)
    basis = levels / np.sqrt(levels.sum(axis=0))
    drawn = np.empty(NUM_PERMUTATIONS)
    for begin in range(0, NUM_PERMUTATIONS, _AT_ONCE):
        count = min(_AT_ONCE, NUM_PERMUTATIONS - begin)
        block = np.tile(centred, (count, 1))
        for chosen in members:
            block[:, chosen] = generator.permuted(block[:, chosen], axis=1)
        drawn[begin : begin + count] = ((block @ basis) ** 2).sum(axis=1)
    return _share(drawn, float(((centred @ basis) ** 2).sum()))


def _test_interaction(
    a: NDArray[np.int64], b: NDArray[np.int64], values: Values, generator: np.random.Generator
) -> float:
    additive = np.linalg.qr(np.hstack([np.ones((len(a), 1)), _dummy(a)[:, 1:], _dummy(b)[:, 1:]]))[
        0
    ]
    cells = _dummy(_encode(list(zip(a.tolist(), b.tolist(), strict=True))))
    left, sizes, _ = np.linalg.svd(cells - additive @ (additive.T @ cells), full_matrices=False)
    basis = left[:, sizes > 1e-9 * max(1.0, float(sizes.max(initial=0)))]
    if basis.shape[1] == 0:
        return 1.0
    aligned = values - additive @ (additive.T @ values)
    # Rounding must not break ties between equal residuals.
    ranks = _centre(double_midranks(np.round(aligned, 12)))

    # As a share of what the sum of both effects leaves: permuting undoes the alignment.
    def explain(arranged: Values) -> Values:
        left_over = (arranged**2).sum(axis=1) - ((arranged @ additive) ** 2).sum(axis=1)
        share = ((arranged @ basis) ** 2).sum(axis=1) / np.maximum(left_over, 1e-12)
        return np.asarray(share, np.float64)

    return _share(explain(_permute(ranks, generator)), float(explain(ranks[None, :])[0]))


def _dummy(codes: NDArray[np.int64]) -> Values:
    return np.asarray(np.eye(int(codes.max()) + 1)[codes], np.float64)


def _cap(values: Values) -> Values:
    finite = values[np.isfinite(values)]
    return np.minimum(values, finite.max() if len(finite) else 0.0)


def _centre(values: NDArray[np.int64]) -> Values:
    return np.asarray(values - values.mean(), np.float64)


def _permute(values: Values, generator: np.random.Generator) -> Values:
    return generator.permuted(np.tile(values, (NUM_PERMUTATIONS, 1)), axis=1)


def _share(drawn: Values, observed: float) -> float:
    """The observed arrangement is one of those that could have been."""
    return (1 + int((drawn >= observed * (1 - 1e-9)).sum())) / (1 + len(drawn))
