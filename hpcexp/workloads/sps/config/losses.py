"""Hyperparameters of the loss tree. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import Scheduled, Unit

Optional = Scheduled | None


class PredictWeights(Hyperparameters):
    """Weights of what the RNN predicts."""

    image: Scheduled = Field(default=2.62144, description="Weight of the image prediction loss.")
    z: Scheduled = Field(default=3.84e-3, description="Weight of the latent prediction loss.")


class SuperviseVaeWeights(Hyperparameters):
    """Weights of supervising the autoencoder with the true coordinates."""

    encode: Optional = Field(
        default=None,
        description="Encoder's means against the truth; null: not computed.",
    )
    decode: Optional = Field(
        default=None,
        description="Image decoded from the truth against the image; null: not computed.",
    )


class SuperviseWeights(Hyperparameters):
    """Weights of supervision. True coordinates are standardised over the training set."""

    rnn: Optional = Field(
        default=None,
        description="Predicted latents against the truth; null: not computed.",
    )
    vae: SuperviseVaeWeights = SuperviseVaeWeights()


class SequenceEnergyWeights(Hyperparameters):
    """Weights of the hinge losses of an energy RNN over latent sequences."""

    real: Optional = Field(
        default=None, description="max(0, 1 + energy) of real sequences; null: not computed."
    )
    fake: Optional = Field(
        default=None, description="max(0, 1 - energy) of noised sequences; null: not computed."
    )


class LossWeights(Hyperparameters):
    """Weights of the loss terms: numbers or schedules.

    0 leaves a term out of the sum but still computes and reports it; null, where allowed, does
    not compute it.
    """

    self_recon: Scheduled = Field(default=1.31072, description="Weight of self-reconstruction.")
    predict: PredictWeights = PredictWeights()
    kld: Scheduled = Field(
        default=3.2e-7,
        description="Weight of the KL divergence of the posterior to N(0, I); without effect "
        "where variational is false.",
    )
    rnn_kld: Optional = Field(
        default=None,
        description="Weight of the KL divergence of the RNN's predicted distribution to N(0, I), "
        "where rnn_variance is not none; null: not computed.",
    )
    supervise: SuperviseWeights = SuperviseWeights()
    symmetry_consistency: Optional = Field(
        default=None,
        description="Weight of the prediction under a transform, undone, against the prediction "
        "without; null: not computed.",
    )
    cycle: Optional = Field(
        default=None, description="Weight of encode(decode(z)) against z; null: not computed."
    )
    sequence_energy: SequenceEnergyWeights = SequenceEnergyWeights()


ImageDistance = Literal["mse", "l1", "bce"]


class ImageLossBlend(Hyperparameters):
    """From one distance of images to another, in a straight line."""

    start: ImageDistance = Field(description="The distance before the blend.")
    end: ImageDistance = Field(description="The distance after the blend.")
    begin: float = Field(default=0.0, ge=0, description="When the blend begins.")
    duration: float = Field(gt=0, description="How long the blend takes.")
    unit: Unit = Field(
        default="budget",
        description="Unit of times: a fraction of the whole run, epochs, or optimiser steps.",
    )


def _is_section(value: Any) -> str:
    return "blend" if isinstance(value, Mapping | BaseModel) else "name"


ImageLoss = Annotated[
    Annotated[ImageDistance, Tag("name")] | Annotated[ImageLossBlend, Tag("blend")],
    Discriminator(_is_section),
]


class StopGradient(Hyperparameters):
    """Where the prediction losses give the encoder no gradient.

    SimSiam (Chen & He 2021) is `right: true` with `z_loss: cosine`; the notebook's experiments
    of that name kept the squared error.
    """

    left: bool = Field(default=False, description="The latents that the RNN reads.")
    right: bool = Field(default=False, description="The latents that are to be predicted.")
    left_for: Literal["z", "z_and_image"] = Field(
        default="z",
        description="Whether left holds for the latent prediction loss alone or for image "
        "prediction, too.",
    )


class EnergyRnn(Hyperparameters):
    """The energy RNN and the noise of its fake sequences."""

    width: int = Field(default=16, ge=1, description="Hidden units of the energy RNN.")
    noise_std: float = Field(
        default=1.0, gt=0, description="Noise added to a sequence to make a fake one, latent units."
    )
