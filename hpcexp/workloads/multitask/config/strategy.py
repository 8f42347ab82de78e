"""Settings of the training strategies. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters

Weighting = Literal["fixed", "softmax", "raw", "uncertainty", "dwa", "famo", "gradnorm"]
Combination = Literal[
    "sum",
    "pcgrad",
    "upgrad",
    "mgda",
    "cagrad",
    "graddrop",
    "nashmtl",
    "imtlg",
    "aligned_mtl",
]
Order = Literal[
    "together",
    "one_at_a_time",
    "round_robin",
    "dsg",
    "dsg_round_robin",
    "curriculum",
    "anti_curriculum",
]
Rows = Literal["all", "dds"]

LANE_COMBINATIONS = ("sum",)
"""Combinations that can train several runs as lanes of one program."""


class LearnedWeights(Hyperparameters):
    """How weights that are learned are updated: softmax, raw, uncertainty."""

    lr: float = Field(default=0.025, gt=0, description="Learning rate of the weights.")
    optimizer: Literal["adam", "sgd"] = Field(
        default="adam", description="Update rule of the weights; there is no weight decay."
    )
    max_log_variance: float = Field(
        default=20.0, gt=0, description="uncertainty: log variances are kept within plus and minus."
    )


class Dwa(Hyperparameters):
    """Dynamic weight average: weights by how slowly losses fell over the last two epochs."""

    temperature: float = Field(default=2.0, gt=0, description="The larger, the more equal.")


class Famo(Hyperparameters):
    """Fast adaptive multitask optimisation: all losses shall fall at the same rate."""

    lr: float = Field(default=0.025, gt=0, description="Learning rate of the logits (Adam).")
    weight_decay: float = Field(default=1e-3, ge=0, description="Weight decay of the logits.")


class GradNorm(Hyperparameters):
    """Gradient normalisation at the last shared layer."""

    alpha: float = Field(
        default=1.5, ge=0, description="How strongly tasks that lag behind are favoured."
    )
    lr: float = Field(default=0.025, gt=0, description="Learning rate of the weights (Adam).")
    initial_loss: Literal["first", "log_classes"] = Field(
        default="first",
        description="What losses are relative to: the first one seen, or ln 2 of a binary task.",
    )


class CaGrad(Hyperparameters):
    """Conflict-averse gradient descent."""

    c: float = Field(default=0.5, ge=0, description="Radius of the search, in gradient norms.")


class NashMtl(Hyperparameters):
    """Multi-task learning as a bargaining game; needs `pip install hpcexp[nash-mtl]`."""

    max_norm: float = Field(default=1.0, ge=0, description="Largest norm of the update; 0: any.")
    iterations: int = Field(default=20, ge=1, description="Iterations of its inner optimisation.")


class StopAndGo(Hyperparameters):
    """Dynamic stop-and-go: tasks that have converged rest until they are forgotten.

    Defaults of the released code of Lu et al. 2020, but for the patience, which is 1 there.
    """

    min_gain: float = Field(
        default=0.001, ge=0, description="Relative fall of the validation loss that is a gain."
    )
    patience: int = Field(
        default=2, ge=1, description="Evaluations without a gain after which a task stops."
    )
    max_loss: float = Field(
        default=0.005,
        ge=0,
        description="Relative rise above the task's best after which it goes again.",
    )
    gap: int = Field(
        default=4, ge=1, description="A task that has stopped is trained every so many turns."
    )


class DifficultySampling(Hyperparameters):
    """Dynamic difficulty sampling: tasks with a large loss get more rows of the batch."""

    every: int = Field(default=100, ge=1, description="Steps from one sharing to the next.")
    measure: Literal["raw", "relative"] = Field(
        default="raw", description="Losses as they are, or relative to the first window's."
    )
    smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Part of the old shares that is kept."
    )
    min_rows: int = Field(default=2, ge=1, description="Rows that every active task gets.")


class OneAtATime(Hyperparameters):
    """One task after the other on one model."""

    advance: Literal["budget", "plateau"] = Field(
        default="budget",
        description="To the next task after an equal part of the budget, or when its validation "
        "loss no longer falls (the last one trains to the end).",
    )
    min_gain: float = Field(default=0.001, ge=0, description="Relative fall that is a gain.")
    patience: int = Field(
        default=3, ge=1, description="Evaluations without a gain after which the next task begins."
    )


class Curriculum(Hyperparameters):
    """A probe of how fast tasks converge, then one half of them, then stop-and-go.

    In the probe all tasks are trained; its steps are part of the budget.
    """

    probe: float = Field(default=0.2, gt=0, lt=1, description="Part of the budget.")
    pretrain: float = Field(default=0.3, gt=0, lt=1, description="Part of the budget.")
    converged: float = Field(
        default=0.95, gt=0, le=1, description="Part of its own gain that a task must have made."
    )
    min_gain: float = Field(
        default=0.02, ge=0, description="Relative gain below which a task counts as never learned."
    )


class Affinity(Hyperparameters):
    """Inter-task affinity: what a step on one task does to the loss of another."""

    measure: bool = Field(
        default=False, description="Measure it at every evaluation, as affinity.FROM.TO."
    )
    lr: float | None = Field(
        default=None, gt=0, description="Size of the lookahead step; null: the learning rate."
    )
    num_batches: int = Field(default=2, ge=1, description="Batches of the validation set.")
