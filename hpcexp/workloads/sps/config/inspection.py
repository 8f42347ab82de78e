"""Hyperparameters of looking into the model while it trains. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters

Kind = Literal["encoder", "decoder", "trajectory", "prediction"]


class Inspection(Hyperparameters):
    """Pictures and tables made during training, as `hpcexp eval` makes them afterwards."""

    every: int | None = Field(
        default=None, ge=1, description="Make them every so many epochs; null: never."
    )
    kinds: Annotated[tuple[Kind, ...], Field(strict=False, min_length=1)] = Field(
        default=("decoder", "prediction"), description="What is made."
    )
    keep: int = Field(
        default=20, ge=1, description="The newest so many of each kind are kept, and the first."
    )
    sequences: int = Field(default=4, ge=1, le=16, description="Sequences that are drawn.")
