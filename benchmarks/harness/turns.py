"""Timing in turns: whatever slows the machine down for a while slows down every variant."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

import torch

Clock = Callable[[], float]
Turn = Callable[[], float]
"""Takes a variant's turn, and returns its seconds."""


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(
    function: Callable[[], object], *, times: int = 1, clock: Clock = time.perf_counter
) -> Turn:
    """A turn that calls a function some times: the seconds of each, until the GPU has done it.

    With `time.process_time` as the clock, waiting for a busy processor does not count.
    """

    def take_turn() -> float:
        synchronise()
        begun = clock()
        for _ in range(times):
            function()
        synchronise()
        return (clock() - begun) / times

    return take_turn


def take_turns(
    variants: Mapping[str, Turn], *, rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each turn of each variant but those of the first rounds, which warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + warm_up):
        for name, take_turn in variants.items():
            taken = take_turn()
            if number >= warm_up:
                seconds[name].append(taken)
    return seconds


def compare(seconds: Mapping[str, list[float]], name: str, *, peer: str) -> float:
    """How many times as long as its peer a variant took: the median over the rounds."""
    pairs = zip(seconds[name], seconds[peer], strict=True)
    return statistics.median(own / other for own, other in pairs)


def bound_ratio(
    seconds: Mapping[str, list[float]], name: str, *, peer: str
) -> tuple[float, float, float]:
    """`compare`, between the ends of an interval that holds the median with at least 95 %.

    The ends are order statistics of the rounds' ratios: no distribution is assumed (Conover 1999,
    section 3.2). With five rounds or fewer they are the least and the largest.
    """
    ratios = sorted(own / other for own, other in zip(seconds[name], seconds[peer], strict=True))
    num_rounds, outside = len(ratios), 0
    tail = 0.5**num_rounds
    while outside < (num_rounds - 1) // 2:
        tail += math.comb(num_rounds, outside + 1) * 0.5**num_rounds
        if 2 * tail > 0.05:
            break
        outside += 1
    return ratios[outside], statistics.median(ratios), ratios[-1 - outside]
