"""Several comparisons at once: the family's level is held, not each one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Adjusted:
    """A p-value in its family: adjusted, and by how much its own step multiplied it."""

    p: float
    multiplier: int


def adjust_holm(p_values: Sequence[float]) -> list[Adjusted]:
    """Holm's step-down adjustment, in the order given.

    The smallest p is multiplied by the number of comparisons, the next by one less, and so
    on; none becomes smaller than the one before. Some p at or under the level is then
    wrong with at most that probability, whatever the comparisons have in common.
    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted: dict[int, Adjusted] = {}
    highest = 0.0
    for place, index in enumerate(order):
        multiplier = len(p_values) - place
        highest = min(1.0, max(highest, multiplier * p_values[index]))
        adjusted[index] = Adjusted(highest, multiplier)
    return [adjusted[index] for index in range(len(p_values))]
