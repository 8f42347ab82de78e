"""The learning-rate range test: train while the rate rises from step to step.

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from hpcexp.errors import HpcexpError
from hpcexp.train.inputs import STEPS_PER_BLOCK, make_block
from hpcexp.train.step import StepFunction
from hpcexp.worker.debug.bench import Bench

SMOOTHING = 0.9
"""Of the exponential moving average of the losses, with its bias corrected."""
SLOPE_PART = 10
"""A slope is taken over a tenth of the test: single batches are noise."""
GROWTH = 4.0
"""The test ends where the smoothed loss is so many times its least value."""


@dataclass(frozen=True)
class Sweep:
    """Rates, losses and smoothed losses, step by step, as far as the test went.

    `steepest` is the rate at which the smoothed loss falls fastest (over the logarithm of the
    rate), `lowest` that of its least value, `blown_up` that at which it ended, if it did early.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    lowest: float
    blown_up: float | None
    configured: float

    def describe(self) -> str:
        """In words."""
        end = (
            f"it blows up at {self.blown_up:.2g}"
            if self.blown_up
            else f"it has not grown fourfold by {self.rates[-1]:.2g}"
        )
        return (
            f"the loss falls fastest at a rate of {self.steepest:.2g}, is least at "
            f"{self.lowest:.2g}, and {end}; configured is {self.configured:g}"
        )

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "steepest": self.steepest,
            "lowest": self.lowest,
            "blown_up": self.blown_up,
            "configured": self.configured,
        }


def sweep_lr(bench: Bench, *, lowest: float, highest: float, num_steps: int) -> Sweep:
    """Train with fresh batches; the rate rises by the same factor at each step.

    Raises HpcexpError where the loss is not finite from the beginning.
    """
    config = bench.given.config
    function = StepFunction(
        bench.build_model(bench.given), config.optimizer, precision=config.precision
    )
    state = function.init_state()
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, blown_up, block = 0.0, None, None
    for step in range(num_steps):
        if step % STEPS_PER_BLOCK == 0:
            block = make_block(
                bench.given, bench.streams, block=step // STEPS_PER_BLOCK,
                device=bench.device, dtype=torch.float32,
            )  # fmt: skip
        assert block is not None
        rate = lowest * (highest / lowest) ** (step / (num_steps - 1))
        inputs = block.select(step % STEPS_PER_BLOCK, bench.data["train"])
        values = {**inputs.values, "lr": torch.tensor(rate, device=bench.device)}
        state, record = function(state, inputs._replace(values=values))
        loss = record[0].item()
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        corrected = average / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(loss) or (smoothed and corrected > GROWTH * min(smoothed)):
            blown_up = rate
            break
        rates.append(rate)
        losses.append(loss)
        smoothed.append(corrected)
    if len(rates) < 2:
        raise HpcexpError(f"the loss is not finite at a rate of {lowest:g}; take a smaller --min")
    return Sweep(
        tuple(rates), tuple(losses), tuple(smoothed), rates[_find_steepest(smoothed)],
        rates[smoothed.index(min(smoothed))], blown_up, bench.given.config.lr,
    )  # fmt: skip


def _find_steepest(smoothed: list[float]) -> int:
    """The middle of the stretch over which the smoothed loss falls most, before its least."""
    end = max(smoothed.index(min(smoothed)), 1)
    width = min(max(1, len(smoothed) // SLOPE_PART), end)
    falls = [smoothed[start] - smoothed[start + width] for start in range(end - width + 1)]
    return falls.index(max(falls)) + width // 2
