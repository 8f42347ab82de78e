"""What is known of physical symmetry before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hpcexp.train.debugging import DebugFacts, InitialLoss
from hpcexp.train.step import StepInputs
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.losses import measure_images
from hpcexp.workloads.sps.objective import Objective

GREY = {"sigmoid": 0.5, "tanh": 0.0}
"""What a decoder's output activation makes of 0."""
_LOW, _HIGH = 0.5, 2.5
"""Of the loss of grey images: with batch norm, first images are not quite grey."""
_LARGEST_LATENTS = {"predict.z": 3.0, "kld": 3.0}
"""What terms of standard normal latents are below."""


def describe_for_debugging(
    config: Config, images_NTCHW: Tensor, *, weights: dict[str, float]
) -> DebugFacts:
    """The encoder's latents, and the loss of a decoder that gives grey images.

    `images` are of the training set, uint8; `weights` those of the loss terms at the first step.
    """
    return DebugFacts(
        predict=_encode, initial_loss=_expect_first(config, images_NTCHW, weights=weights)
    )


def _expect_first(
    config: Config, images_NTCHW: Tensor, *, weights: dict[str, float]
) -> InitialLoss | None:
    """None where terms have a weight of which nothing is known beforehand."""
    image_terms = ("self_recon", "predict.image")
    others = [name for name in weights if name not in image_terms and weights[name]]
    if len(config.image_distances) > 1 or not set(others) <= set(_LARGEST_LATENTS):
        return None
    images = images_NTCHW.float() / 255
    grey = torch.full_like(images, GREY[config.decoder_output])
    distance = measure_images(grey, images, distance=config.image_distances[0]).item()
    expected = distance * sum(weights.get(name, 0.0) for name in image_terms)
    latents = sum(weights[name] * _LARGEST_LATENTS[name] for name in others)
    return InitialLoss(_LOW * expected, _HIGH * expected + latents, "grey images")


def _encode(model: nn.Module, inputs: StepInputs) -> Tensor:
    """Means of the latents, (B, T, Z)."""
    assert isinstance(model, Objective)
    images = inputs.batch["images"]
    return model.encode(images.to(next(model.parameters()).dtype) / 255)[0]
