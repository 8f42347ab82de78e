"""What so few runs can show at best. Imports nothing heavy: a dry run asks it too."""

from __future__ import annotations

import math

LEVEL = 0.05


def smallest_p(num_a: int, num_b: int) -> float:
    """The smallest p that Mann-Whitney can have with so many runs: all of one below the other."""
    return min(1.0, 2 / math.comb(num_a + num_b, num_a))


def find_smallest_size(alpha: float) -> int:
    """The fewest runs per group with which Mann-Whitney can reach `alpha` at all."""
    size = 2
    while smallest_p(size, size) > alpha:
        size += 1
    return size
