"""Hyperparameters of the physical-symmetry workload. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from hpcexp.train.config import Hyperparameters, TrainConfig
from hpcexp.train.metric import Metric

Weight = Annotated[float, Field(ge=0)]


class BounceDataset(Hyperparameters):
    """A ball that bounces in 3-D, seen by a fixed camera."""

    kind: Literal["bounce"] = "bounce"
    resolution: int = Field(default=32, ge=8, description="Width and height in pixels.")
    num_frames: int = Field(default=20, ge=2, description="Frames of a sequence, 0.15 s apart.")
    ball_radius: float = Field(default=0.5, gt=0, description="Radius of the drawn ball (m).")
    seed: int = Field(default=0, ge=0, description="Seed of the drawn sequences.")


class Symmetry(Hyperparameters):
    """The random transform of the first two latent dimensions, applied and undone.

    In each step one of a translation or an element of O(2) is drawn with equal probability;
    with `identity_probability` nothing is transformed.
    """

    kind: Literal["translate_or_rotate", "trivial"] = Field(
        default="translate_or_rotate",
        description="What is drawn in each step: a translation or an element of O(2), or nothing.",
    )
    translate_std: float = Field(
        default=1.0, ge=0, description="Standard deviation of a translation, in latent units."
    )
    identity_probability: float = Field(
        default=0.1, ge=0, le=1, description="Probability that a step transforms nothing."
    )


class ScheduledSampling(Hyperparameters):
    """The probability that the RNN is fed the encoded latent instead of its own prediction."""

    kind: Literal["linear"] = Field(
        default="linear", description="From 1 linearly to 0 over `duration`."
    )
    duration: float = Field(default=0.6, ge=0, description="When the probability reaches 0.")
    unit: Literal["budget", "epochs", "steps"] = Field(
        default="budget",
        description="Unit of `duration`: a fraction of the whole run, epochs, or optimiser steps.",
    )


class PredictWeights(Hyperparameters):
    """Weights of what the RNN predicts."""

    image: Weight = Field(default=2.62144, description="Weight of the image prediction loss.")
    z: Weight = Field(default=3.84e-3, description="Weight of the latent prediction loss.")


class LossWeights(Hyperparameters):
    """Weights of the loss terms; 0 leaves a term out of the sum but still reports it."""

    self_recon: Weight = Field(default=1.31072, description="Weight of self-reconstruction.")
    predict: PredictWeights = PredictWeights()
    kld: Weight = Field(default=3.2e-7, description="Weight of the KL divergence to N(0, I).")


class Config(TrainConfig):
    """Hyperparameters of one run of the physical-symmetry workload."""

    dataset: BounceDataset = BounceDataset()
    vae_channels: Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)] = Field(
        default=(64, 128, 256),
        description="Channels of the convolutions (kernel 4, stride 2, padding 1).",
    )
    encoder_batch_norm: bool = Field(
        default=False, description="Batch norm after each convolution of the encoder."
    )
    latent_dim: int = Field(default=3, ge=2, description="Dimensions of the latent z.")
    rnn_width: int = Field(default=32, ge=1, description="Hidden units of the tanh RNN.")
    rnn_min_context: int = Field(
        default=5, ge=1, description="Latents that the RNN reads before it predicts."
    )
    symmetry: Symmetry = Symmetry()
    scheduled_sampling: ScheduledSampling = ScheduledSampling()
    loss_weights: LossWeights = LossWeights()

    @model_validator(mode="after")
    def _shapes_fit(self) -> Config:
        shrink = 2 ** len(self.vae_channels)
        if self.dataset.resolution % shrink:
            raise ValueError(
                f"dataset.resolution ({self.dataset.resolution}) is not a multiple of {shrink}: "
                f"each of the {len(self.vae_channels)} vae_channels halves the image"
            )
        if self.rnn_min_context >= self.dataset.num_frames:
            raise ValueError(
                f"rnn_min_context ({self.rnn_min_context}) leaves no frame to predict of "
                f"dataset.num_frames ({self.dataset.num_frames})"
            )
        return self


PRIMARY_METRIC = Metric(
    name="linear_projection_mse",
    title="linear projection MSE (validation)",
    success_below=0.2,
    cap=1.0,
    success_title="disentanglement success",
)
