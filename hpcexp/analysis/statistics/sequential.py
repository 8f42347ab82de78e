"""Looking more than once: how much of the level each look may spend, and when to give up.

Looking after every few runs and stopping at p <= 0.05 finds a difference where there is none
in about one experiment of five. Here the level is spent bit by bit: the chance of a wrong claim
at any look stays at the level of the pair, and Holm's procedure over the pairs keeps that of
the family. Giving up early can only lower it.

Sources: Lan & DeMets 1983, Discrete sequential boundaries for clinical trials; Armitage,
McPherson & Rowe 1969 (the recursion); Ye, Li, Liu & Yao 2013, A group sequential Holm procedure;
Lan & Wittes 1988, The B-value (conditional power).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

_NORMAL = NormalDist()
_GRID = 1501
_FAR = 8.0

Pair = TypeVar("Pair")


def _obrien_fleming(t: float, alpha: float) -> float:
    # Either side has half of alpha.
    return 4 - 4 * _NORMAL.cdf(_NORMAL.inv_cdf(1 - alpha / 4) / math.sqrt(t))


def _pocock(t: float, alpha: float) -> float:
    return alpha * math.log(1 + (math.e - 1) * t)


def _quadratic(t: float, alpha: float) -> float:
    return alpha * t * t


SPENDING: dict[str, Callable[[float, float], float]] = {
    "quadratic": _quadratic,
    "obrien_fleming": _obrien_fleming,
    "pocock": _pocock,
}
"""How much of alpha is spent by a share t of all runs. `quadratic` (Kim & DeMets 1987) lies
between the two classics: few early claims, and little lost at the end."""


@dataclass(frozen=True)
class Plan:
    """When to look, and by which rule; written down before the first added run.

    `looks` are runs per group, rising; the runs at hand are the first look. `alpha` is the
    level of the whole family. A pair whose conditional power falls under `futility` is given up.
    """

    looks: tuple[int, ...]
    alpha: float = 0.05
    spending: str = "quadratic"
    futility: float = 0.10

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.looks, self.looks[1:], strict=False))
        if not self.looks or not rising or self.looks[0] < 2:
            raise ValueError(f"looks are {self.looks}; they must rise, from 2 runs per group")
        if self.spending not in SPENDING:
            raise ValueError(f"no spending function {self.spending}; there are {list(SPENDING)}")
        if not 0 < self.alpha < 1 or not 0 <= self.futility < 1:
            raise ValueError(f"alpha is {self.alpha}, futility {self.futility}; both are shares")

    @property
    def times(self) -> tuple[float, ...]:
        """The share of all runs at each look."""
        return tuple(n / self.looks[-1] for n in self.looks)


@dataclass(frozen=True)
class Decision:
    """What a look says of one pair: `level` is what its p was held against."""

    is_rejected: bool
    is_futile: bool
    level: float
    conditional_power: float


def plan_looks(first: int, maximum: int, *, num_looks: int = 4) -> tuple[int, ...]:
    """Looks in equal ratios from the runs at hand to the most that may be trained, per group.

    Raises ValueError where there is nothing to add.
    """
    if not 2 <= first < maximum or num_looks < 2:
        raise ValueError(f"{num_looks} looks from {first} to {maximum} runs per group")
    ratio = (maximum / first) ** (1 / (num_looks - 1))
    inner = [round(first * ratio**k) for k in range(1, num_looks - 1)]
    return tuple(sorted({first, *inner, maximum}))


def find_levels(plan: Plan, *, alpha: float) -> tuple[float, ...]:
    """The nominal level of each look, if a pair has `alpha` for all of them.

    With p at or under it the pair is decided. Exact for the normal process that rank sums
    become; an exact p, which is cautious with few runs, is at or under.
    """
    return _find_levels(plan.times, plan.spending, alpha)


def judge_look(
    plan: Plan,
    *,
    look: int,
    p_values: Mapping[Pair, float],
    rejected: Collection[Pair] = (),
    num_pairs: int | None = None,
) -> dict[Pair, Decision]:
    """Decide the pairs at look number `look`, from 0, that were neither rejected nor given up.

    `p_values` are two-sided, of the runs so far; `num_pairs` counts the family, pairs that were
    given up among them. A rejected pair hands its share of alpha to the others, as in Holm's
    procedure, at once and for later looks.
    """
    family = len(p_values) + len(rejected) if num_pairs is None else num_pairs
    won = set(rejected)
    levels: dict[Pair, float] = {}
    while True:
        level = find_levels(plan, alpha=plan.alpha / max(1, family - len(won)))[look]
        new = [pair for pair, p in p_values.items() if pair not in won and p <= level]
        levels |= {pair: level for pair in p_values if pair not in won}
        if not new:
            break
        won.update(new)
    alpha = plan.alpha / max(1, family - len(won))
    return {
        pair: _decide(plan, look, p, pair in won, levels[pair], alpha)
        for pair, p in p_values.items()
    }


def compute_conditional_power(plan: Plan, *, look: int, p: float, alpha: float) -> float:
    """The chance to be decided at the last look if things go on as they have begun.

    `alpha` is what the pair has for all looks. 0 or 1 at the last look.
    """
    final = find_levels(plan, alpha=alpha)[-1]
    if look == len(plan.looks) - 1:
        return float(p <= final)
    t = plan.times[look]
    z = -_NORMAL.inv_cdf(max(min(p, 1.0) / 2, 1e-300))
    critical = -_NORMAL.inv_cdf(final / 2)
    drift = z / math.sqrt(t)
    mean, deviation = z * math.sqrt(t) + drift * (1 - t), math.sqrt(1 - t)
    above = _NORMAL.cdf((mean - critical) / deviation)
    return above + _NORMAL.cdf((-critical - mean) / deviation)


def _decide(
    plan: Plan, look: int, p: float, is_rejected: bool, level: float, alpha: float
) -> Decision:
    power = 1.0 if is_rejected else compute_conditional_power(plan, look=look, p=p, alpha=alpha)
    is_last = look == len(plan.looks) - 1
    is_futile = not is_rejected and not is_last and power < plan.futility
    return Decision(is_rejected, is_futile, level, power)


@functools.lru_cache(maxsize=1024)
def _find_levels(times: Sequence[float], spending: str, alpha: float) -> tuple[float, ...]:
    """The recursion of Armitage, McPherson & Rowe: the density of what has not yet crossed."""
    from scipy.special import ndtr

    spent = [SPENDING[spending](t, alpha) for t in times]
    levels: list[float] = []
    grid = np.zeros(1)  # of the B-value, Z times the root of t
    mass = np.ones(1)
    before = 0.0
    for place, t in enumerate(times):
        step = math.sqrt(t - before)
        budget = spent[place] - (spent[place - 1] if place else 0.0)
        bound = _find_bound(grid, mass, step, budget)
        levels.append(float(2 * ndtr(-bound / math.sqrt(t))))
        inside = np.linspace(-bound, bound, _GRID)
        width = inside[1] - inside[0]
        kernel = np.exp(-(((inside[:, None] - grid[None, :]) / step) ** 2) / 2)
        mass = kernel @ mass * (width / (step * math.sqrt(2 * math.pi)))
        mass[[0, -1]] /= 2  # trapezoids
        grid, before = inside, t
    return tuple(levels)


def _find_bound(grid: np.ndarray, mass: np.ndarray, step: float, budget: float) -> float:
    """Where the chance to cross now, not having crossed before, is the budget."""
    from scipy.special import ndtr

    low, high = 0.0, float(np.abs(grid).max()) + _FAR * step + 40 * step
    for _ in range(80):
        bound = (low + high) / 2
        above = ndtr((grid - bound) / step) + ndtr((-bound - grid) / step)
        low, high = (bound, high) if float(mass @ above) > budget else (low, bound)
    return high
