"""Hyperparameters of looking into the model while it trains. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters

Kind = Literal["tasks", "samples"]


class Inspection(Hyperparameters):
    """Numbers and samples made during training, as `hpcexp eval` makes them afterwards."""

    every: int | None = Field(
        default=None, ge=1, description="Make them every so many epochs; null: never."
    )
    kinds: Annotated[tuple[Kind, ...], Field(strict=False, min_length=1)] = Field(
        default=("tasks", "samples"),
        description="What is made: tasks (numbers and ROC curves), samples (inputs, labels and "
        "what is predicted).",
    )
    keep: int = Field(
        default=20, ge=1, description="The newest so many of each kind are kept, and the first."
    )
    sequences: int = Field(default=4, ge=1, le=16, description="The first so many are drawn.")
