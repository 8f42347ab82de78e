"""Hyperparameters of looking into the model while it trains. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters

Kind = Literal["encoder", "decoder", "trajectory", "prediction"]


class Inspection(Hyperparameters):
    """Pictures and tables made during training, as `hpcexp eval` makes them afterwards.

    They go to the run's directory, inspection/. Numbers are of 64 sequences instead of 512.
    """

    every: int | None = Field(
        default=None, ge=1, description="Make them every so many epochs; null: never."
    )
    kinds: Annotated[tuple[Kind, ...], Field(strict=False, min_length=1)] = Field(
        default=("decoder", "prediction"),
        description="What is made: encoder (numbers of the latents), decoder (each latent moved "
        "alone), trajectory (latents over time) and prediction (frames side by side).",
    )
    keep: int = Field(
        default=20, ge=1, description="The newest so many of each kind are kept, and the first."
    )
    sequences: int = Field(
        default=4, ge=1, le=16, description="The first so many sequences are drawn."
    )
