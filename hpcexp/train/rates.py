"""Learning-rate schedules. Imports no torch.

Each gives the factor by which the configured rate is multiplied.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import Budget, Unit, count_steps


class _Decay(Hyperparameters):
    warm_up: float = Field(
        default=0.0, ge=0, description="The rate first rises from 0 in a straight line."
    )
    unit: Unit = Field(
        default="budget",
        description="Unit of times: a fraction of the whole run, epochs, or optimiser steps.",
    )

    def _warm_up_factor(self, step: int, *, budget: Budget) -> float:
        duration = count_steps(self.warm_up, self.unit, budget=budget)
        return min(1.0, (step + 1) / duration) if duration > 0 else 1.0


class ExponentialDecay(_Decay):
    """Halves the rate every `half_life`, after the warm-up."""

    kind: Literal["exponential"] = "exponential"
    half_life: float = Field(gt=0, description="Time in which the rate halves.")

    def factor(self, step: int, *, budget: Budget) -> float:
        """Factor of the rate at a step; 0 is the first."""
        begin = count_steps(self.warm_up, self.unit, budget=budget)
        half_life = count_steps(self.half_life, self.unit, budget=budget)
        decay: float = 0.5 ** (max(0.0, step - begin) / half_life)
        return decay * self._warm_up_factor(step, budget=budget)


class CosineDecay(_Decay):
    """Half a cosine from the rate to `final` times it at the end of the budget.

    Source: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    equation 5, without restarts.
    """

    kind: Literal["cosine"] = "cosine"
    final: float = Field(default=0.0, ge=0, le=1, description="Factor at the end of the budget.")

    def factor(self, step: int, *, budget: Budget) -> float:
        """Factor of the rate at a step; 0 is the first."""
        begin = count_steps(self.warm_up, self.unit, budget=budget)
        length = max(1.0, budget.num_steps - begin)
        progress = min(1.0, max(0.0, (step - begin) / length))
        decay = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))
        return decay * self._warm_up_factor(step, budget=budget)


class PlateauDecay(Hyperparameters):
    """Multiplies the rate by `decrease` when a validation metric has stopped falling.

    The rule of `torch.optim.lr_scheduler.ReduceLROnPlateau` in its default mode.
    """

    kind: Literal["plateau"] = "plateau"
    metric: str = Field(default="loss", description="Validation metric that should fall.")
    decrease: float = Field(
        default=0.5, gt=0, lt=1, description="Factor of each decrease of the rate."
    )
    patience: int = Field(
        default=10, ge=1, description="Evaluations without an improvement that are tolerated."
    )
    threshold: float = Field(
        default=1e-4, ge=0, description="Least relative improvement that counts as one."
    )
    floor: float = Field(default=0.0, ge=0, le=1, description="Least factor of the rate.")


LearningRateSchedule = Annotated[
    ExponentialDecay | CosineDecay | PlateauDecay, Field(discriminator="kind")
]
