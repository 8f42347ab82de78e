"""Hyperparameters of scheduled sampling. Imports no torch.

Source: Bengio et al. 2015, "Scheduled Sampling for Sequence Prediction with Recurrent
Neural Networks".
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import Budget, Unit, count_steps, with_default_kind


class LinearSampling(Hyperparameters):
    """The probability that the RNN is fed the encoded latent: from 1 linearly to 0."""

    kind: Literal["linear"] = "linear"
    duration: float = Field(default=0.6, ge=0, description="When the probability reaches 0.")
    unit: Unit = Field(
        default="budget",
        description="Unit of `duration`: a fraction of the whole run, epochs, or optimiser steps.",
    )

    def probability(self, step: int, *, budget: Budget) -> float:
        """Probability that a latent is forced at a step; 0 is the first."""
        duration = count_steps(self.duration, self.unit, budget=budget)
        return max(0.0, 1.0 - step / duration) if duration > 0 else 0.0


class InverseSigmoidSampling(Hyperparameters):
    """a / (a + exp((t + b) / a)): near 1 at first, one half at t = a ln(a) - b, near 0 later.

    With b = 0 it is the inverse sigmoid decay of the paper, with k = a. Both are in optimiser
    steps or both in epochs, as `unit` says: a schedule that counts steps goes faster
    through the epochs of a smaller batch.
    """

    kind: Literal["inverse_sigmoid"] = "inverse_sigmoid"
    alpha: float = Field(default=2200.0, gt=0, description="a: how slowly the probability falls.")
    beta: float = Field(default=8000.0, description="b: shifts the fall to earlier times.")
    unit: Literal["epochs", "steps"] = Field(
        default="steps", description="What alpha and beta count: epochs or optimiser steps."
    )

    def probability(self, step: int, *, budget: Budget) -> float:
        """Probability that a latent is forced at a step; 0 is the first."""
        time = step / count_steps(1.0, self.unit, budget=budget)
        # Written with exp of what is not positive, which cannot overflow.
        exponent = (time + self.beta) / self.alpha - math.log(self.alpha)
        if exponent > 0:
            return math.exp(-exponent) / (1 + math.exp(-exponent))
        return 1 / (1 + math.exp(exponent))


class ConstantSampling(Hyperparameters):
    """A constant probability: 1 is teacher forcing without end, 0 none at all."""

    kind: Literal["constant"] = "constant"
    forcing_probability: float = Field(
        ge=0, le=1, description="Probability that a latent is forced."
    )

    def probability(self, step: int, *, budget: Budget) -> float:
        """The probability; the same at every step."""
        del step, budget
        return self.forcing_probability


Sampling = Annotated[
    Annotated[
        LinearSampling | InverseSigmoidSampling | ConstantSampling, Field(discriminator="kind")
    ],
    with_default_kind("linear"),
]
