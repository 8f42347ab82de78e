"""Values that change while a run trains: weights, rates and probabilities. Imports no torch.

A schedule is a function of the step alone, so that it reaches the step as data and a
resumed run needs no state of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from hpcexp.train.hyperparameters import Hyperparameters

Unit = Literal["budget", "epochs", "steps"]


class Budget(Protocol):
    """What turns a duration into optimiser steps."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch."""
        ...

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        ...


def count_steps(duration: float, unit: Unit, *, budget: Budget) -> float:
    """A duration in optimiser steps, perhaps a fraction of one."""
    if unit == "steps":
        return duration
    return duration * (budget.steps_per_epoch if unit == "epochs" else budget.num_steps)


class Ramp(Hyperparameters):
    """From `start` to `end` in a straight line (warm-up), and constant before and after."""

    kind: Literal["linear"] = "linear"
    start: float = Field(default=0.0, ge=0, description="Value before the ramp.")
    end: float = Field(ge=0, description="Value after the ramp.")
    begin: float = Field(default=0.0, ge=0, description="When the ramp begins.")
    duration: float = Field(gt=0, description="How long the ramp takes.")
    unit: Unit = Field(
        default="budget",
        description="Unit of times: a fraction of the whole run, epochs, or optimiser steps.",
    )

    def value(self, step: int, *, budget: Budget) -> float:
        """The value in force at a step; 0 is the first."""
        begin = count_steps(self.begin, self.unit, budget=budget)
        duration = count_steps(self.duration, self.unit, budget=budget)
        progress = min(1.0, max(0.0, (step - begin) / duration))
        return self.start + (self.end - self.start) * progress


class Oscillation(Hyperparameters):
    """Between `low` and `high`, starting at `low`.

    The shape `cosine` swings smoothly; `cyclical` rises in a straight line over the first
    half of each period and stays at `high` for the second half (Fu et al. 2019, "Cyclical
    Annealing Schedule: A Simple Approach to Mitigating KL Vanishing", R = 0.5).
    """

    kind: Literal["oscillation"] = "oscillation"
    low: float = Field(default=0.0, ge=0, description="Smallest value, at the start.")
    high: float = Field(ge=0, description="Largest value.")
    period: float = Field(gt=0, description="Time from one `low` to the next.")
    shape: Literal["cosine", "cyclical"] = Field(
        default="cosine", description="A smooth swing, or a ramp and then constant."
    )
    unit: Unit = Field(
        default="budget",
        description="Unit of times: a fraction of the whole run, epochs, or optimiser steps.",
    )

    @model_validator(mode="after")
    def _is_ordered(self) -> Oscillation:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) is less than low ({self.low})")
        return self

    def value(self, step: int, *, budget: Budget) -> float:
        """The value in force at a step; 0 is the first."""
        phase = step / count_steps(self.period, self.unit, budget=budget) % 1.0
        if self.shape == "cosine":
            part = 0.5 - 0.5 * math.cos(2 * math.pi * phase)
        else:
            part = min(1.0, 2 * phase)
        return self.low + (self.high - self.low) * part


def with_default_kind(kind: str) -> BeforeValidator:
    """A section of a union that says no `kind` is of this one."""

    def add(value: Any) -> Any:
        if isinstance(value, Mapping) and "kind" not in value:
            return {"kind": kind, **value}
        return value

    return BeforeValidator(add)


Schedule = Annotated[
    Annotated[Ramp | Oscillation, Field(discriminator="kind")], with_default_kind("linear")
]
NonNegative = Annotated[float, Field(ge=0)]


def _is_section(value: Any) -> str:
    return "schedule" if isinstance(value, Mapping | BaseModel) else "number"


Scheduled = Annotated[
    Annotated[NonNegative, Tag("number")] | Annotated[Schedule, Tag("schedule")],
    Discriminator(_is_section),
]
"""A number of at least 0, or a schedule of such numbers."""


def get_value(scheduled: float | Ramp | Oscillation, step: int, *, budget: Budget) -> float:
    """The number itself, or the schedule's value at a step."""
    if isinstance(scheduled, Ramp | Oscillation):
        return scheduled.value(step, budget=budget)
    return float(scheduled)
