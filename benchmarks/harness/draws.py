"""Distributions whose truth is known, and tables of how often something happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

Sample = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Sample]

SIZES = (4, 5, 6, 8, 12, 20, 30)


def draw_normal(random: np.random.Generator, n: int) -> Sample:
    return random.normal(size=n)


def draw_heavy(random: np.random.Generator, n: int) -> Sample:
    """Student's t with 2 degrees of freedom: no variance."""
    return random.standard_t(2, size=n)


def draw_lognormal(random: np.random.Generator, n: int) -> Sample:
    return random.lognormal(size=n)


def draw_bimodal(random: np.random.Generator, n: int) -> Sample:
    """Six of ten near 0.15, the others near 0.55: success and failure."""
    return np.where(random.uniform(size=n) < 0.6, 0.15, 0.55) + 0.03 * random.normal(size=n)


def draw_tied(random: np.random.Generator, n: int) -> Sample:
    """Four levels, the worst of them a diverged run."""
    return random.choice([0.1, 0.2, 0.3, math.inf], size=n, p=[0.4, 0.3, 0.2, 0.1])


SHAPES: dict[str, Draw] = {
    "normal": draw_normal,
    "heavy tails (t, 2 df)": draw_heavy,
    "lognormal": draw_lognormal,
    "bimodal": draw_bimodal,
}
WITH_TIES = SHAPES | {"tied, some diverged": draw_tied}


def percent(share: SupportsFloat) -> str:
    return f"{100 * float(share):.1f} %"


def show(title: str, rows: Sequence[Sequence[str]], sizes: Sequence[int]) -> None:
    print(f"\n### {title}\n")
    print(f"| | {' | '.join(f'n = {n}' for n in sizes)} |")
    print(f"|---|{'--:|' * len(sizes)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
