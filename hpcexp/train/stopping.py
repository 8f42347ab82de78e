"""Rules that end a run before its budget does. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import with_default_kind


class StopAtThreshold(Hyperparameters):
    """Stop when a metric is above or below a value, from an epoch on."""

    kind: Literal["threshold"] = "threshold"
    metric: str = Field(description="A column of the metrics, such as linear_projection_mse.")
    split: Literal["train", "validate"] = Field(
        default="validate", description="The split whose row is looked at."
    )
    above: float | None = Field(default=None, description="Stop when the metric is above this.")
    below: float | None = Field(default=None, description="Stop when the metric is below this.")
    from_epoch: int = Field(default=0, ge=0, description="Not before this epoch.")

    @model_validator(mode="after")
    def _has_one_bound(self) -> StopAtThreshold:
        if (self.above is None) == (self.below is None):
            raise ValueError("give either above or below")
        return self


class StopForetold(Hyperparameters):
    """Stop a run that is foretold to fail: by a metric, at one epoch, once.

    `hpcexp foretell` learns such rules. A share of the doomed runs is trained on, to see whether
    the rule still holds; which ones is drawn by the experiment's seed and the initialisation.
    """

    kind: Literal["foretold"] = "foretold"
    metric: str = Field(description="A column of the metrics, such as loss.self_recon.")
    split: Literal["train", "validate"] = Field(
        default="validate", description="The split whose row is looked at."
    )
    above: float | None = Field(default=None, description="It will fail if it is above this.")
    below: float | None = Field(default=None, description="It will fail if it is below this.")
    epoch: int = Field(
        ge=1, description="Looked at once, in the first row of the split from this epoch on."
    )
    audit: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the doomed runs that is trained on, to check the rule.",
    )

    @model_validator(mode="after")
    def _has_one_bound(self) -> StopForetold:
        if (self.above is None) == (self.below is None):
            raise ValueError("give either above or below")
        return self


class StopOnPlateau(Hyperparameters):
    """Stop when a metric has not fallen for a number of epochs."""

    kind: Literal["plateau"] = "plateau"
    metric: str = Field(default="loss", description="A column of the metrics that should fall.")
    split: Literal["train", "validate"] = Field(
        default="validate", description="The split whose row is looked at."
    )
    patience: int = Field(ge=1, description="Epochs without an improvement that are tolerated.")
    min_improvement: float = Field(
        default=0.0, ge=0, description="What a value must fall by to count as an improvement."
    )
    from_epoch: int = Field(default=0, ge=0, description="Not before this epoch.")


class StopAfterHours(Hyperparameters):
    """Stop when the run has trained for so long, on whatever machine, over all its attempts."""

    kind: Literal["wall_clock"] = "wall_clock"
    hours: float = Field(gt=0, description="Hours of training.")


StopRule = Annotated[
    Annotated[
        StopAtThreshold | StopForetold | StopOnPlateau | StopAfterHours,
        Field(discriminator="kind"),
    ],
    with_default_kind("threshold"),
]
