"""The hyperparameters that every workload shares. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from hpcexp.train.budget import find_budget_readers
from hpcexp.train.divergence import OnDivergence, StopAtDivergence
from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.rates import LearningRateSchedule, PlateauDecay
from hpcexp.train.stopping import StopAfterHours, StopRule
from hpcexp.train.warm_start import WarmStart

Precision = Literal["fp32", "tf32", "bf16"]


class TrainConfig(Hyperparameters):
    """Budget, optimisation and evaluation: what `hpcexp.train.fit` reads.

    `lane_free` are hyperparameters, as pydantic's `exclude`, in which the lanes of one program
    may differ: what reaches a step as a number, or is looked at between steps only.
    """

    lane_free: ClassVar[dict[str, Any]] = dict.fromkeys(
        (
            *("max_epoch", "max_step", "train_set_size", "validate_set_size", "lr", "lr_schedule"),
            *("weight_decay", "grad_clip", "grad_explosion", "on_divergence", "stop"),
            *("warm_start", "keep_best", "keep_every", "eval_every"),
        ),
        True,
    )

    max_epoch: int = Field(
        default=4000, ge=1, description="Budget: passes over the training set (epochs)."
    )
    max_step: int | None = Field(
        default=None,
        ge=1,
        description="Budget in optimiser steps; where given, it replaces max_epoch.",
    )
    batch_size: int = Field(default=16, ge=1, description="Samples in one optimiser step.")
    train_set_size: int = Field(default=128, ge=1, description="Samples in the training set.")
    validate_set_size: int = Field(default=64, ge=1, description="Samples in the validation set.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        default="adam", description="Update rule: Adam, AdamW (decoupled weight decay) or SGD."
    )
    lr: float = Field(default=1e-3, gt=0, description="Learning rate.")
    lr_schedule: LearningRateSchedule | None = Field(
        default=None, description="How the learning rate falls; null keeps it constant."
    )
    precision: Precision = Field(
        default="fp32",
        description="How the networks compute in a training step; parameters, the optimiser, "
        "losses and metrics are fp32 with each.",
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="L2 penalty (adam, sgd) or decoupled decay (adamw)."
    )
    grad_clip: float | None = Field(
        default=None,
        gt=0,
        description="Largest global L2 norm of the gradient; null does not clip.",
    )
    grad_explosion: float | None = Field(
        default=None,
        gt=0,
        description="A gradient whose norm (before clipping) is larger is a divergence; null lets "
        "it pass.",
    )
    on_divergence: OnDivergence = Field(
        default=StopAtDivergence(),
        description="At a value that is not finite, or a gradient above grad_explosion: stop, "
        "skip the step, or rollback to an earlier state with a smaller learning rate.",
    )
    stop: Annotated[tuple[StopRule, ...], Field(strict=False)] = Field(
        default=(), description="Rules that end a run early; the first that holds does."
    )
    warm_start: WarmStart | None = Field(
        default=None, description="Start from the parameters of a run of another experiment."
    )
    keep_best: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Validation metrics of which the checkpoint with the smallest value is kept.",
    )
    keep_every: int | None = Field(
        default=None, ge=1, description="Keep the parameters every so many epochs; null: never."
    )
    eval_every: int = Field(
        default=1, ge=1, description="Evaluate on the validation set every so many epochs."
    )

    @model_validator(mode="after")
    def _batches_fit(self) -> TrainConfig:
        if self.batch_size > self.train_set_size:
            raise ValueError(
                f"batch_size ({self.batch_size}) is larger than train_set_size "
                f"({self.train_set_size}): there would be no full batch"
            )
        return self

    @model_validator(mode="after")
    def _metrics_are_recorded(self) -> TrainConfig:
        """Where the columns are known, rules about others are refused before anything runs."""
        known = self.metric_columns
        if known is None:
            return self
        asked = [("keep_best", name, "validate") for name in self.keep_best]
        asked += [
            ("stop", rule.metric, rule.split)
            for rule in self.stop
            if not isinstance(rule, StopAfterHours)
        ]
        if isinstance(self.lr_schedule, PlateauDecay):
            asked.append(("lr_schedule", self.lr_schedule.metric, "validate"))
        for where, metric, split in asked:
            columns = known[split]
            if metric not in columns:
                raise ValueError(
                    f"{where}: {split} has no metric {metric}; it has: {', '.join(columns)}"
                )
        return self

    @property
    def metric_columns(self) -> Mapping[str, tuple[str, ...]] | None:
        """Columns of the rows of each split, `train` and `validate`; None where unknown."""
        return None

    def compute_lr(self, step: int) -> float:
        """The learning rate at a step, but for what a plateau does to it."""
        schedule = self.lr_schedule
        if schedule is None or isinstance(schedule, PlateauDecay):
            return self.lr
        return self.lr * schedule.factor(step, budget=self)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass; a shuffled rest smaller than a batch is left out."""
        return self.train_set_size // self.batch_size

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.max_step or self.max_epoch * self.steps_per_epoch

    @property
    def ends_on_evaluation(self) -> bool:
        """Whether the last step ends an epoch that is evaluated whatever the budget is."""
        epoch, rest = divmod(self.num_steps, self.steps_per_epoch)
        return rest == 0 and epoch % self.eval_every == 0

    @property
    def lane_key(self) -> str:
        """Equal for runs whose steps are one program, so that they can be lanes of it.

        Runs that cannot are alike in why: they are trained in processes.
        """
        if self.lane_obstacle:
            return f"in processes: {self.lane_obstacle}"
        kept = self.model_dump(mode="json", exclude=self.lane_free)
        return json.dumps(kept | {"shape": self.lane_shape}, sort_keys=True)

    @property
    def lane_shape(self) -> Mapping[str, Any]:
        """What of the hyperparameters in `lane_free` lanes must have in common after all."""
        return {}

    @property
    def lane_obstacle(self) -> str:
        """Why runs of this kind cannot be lanes of one program, in words; empty where they can."""
        return ""

    @property
    def supports_lanes(self) -> bool:
        """Whether runs of this kind can be lanes of one program."""
        return not self.lane_obstacle

    def list_budget_dependents(self) -> tuple[str, ...]:
        """Hyperparameters, by dotted name, with which a longer budget would be another training.

        Without any, a run of a longer budget begins with the very steps of this one.
        """
        return find_budget_readers(self)

    @property
    def num_epochs(self) -> int:
        """Epochs of the whole run; the last may be cut short by max_step."""
        return -(-self.num_steps // self.steps_per_epoch)
