"""The single loss terms, each as a function of tensors.

Shapes: M members of the RNN ensemble, N sequences that the RNN sees, P predicted frames,
B sequences of the batch, T frames, Z latent dimensions. `weights_NP` sum to 1 over the
frames that count; None counts all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

MIN_NORM = 1e-8
"""Below it a latent has no direction, and its cosine similarity is 0."""

_IMAGE_DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda image, target: (image - target).square(),
    "l1": lambda image, target: (image - target).abs(),
    "bce": lambda image, target: functional.binary_cross_entropy(
        image, target.expand_as(image), reduction="none"
    ),
}


def measure_images(
    images: Tensor, targets: Tensor, *, distance: str, weights_NP: Tensor | None = None
) -> Tensor:
    """Mean distance of images, (..., C, H, W), from targets with values from 0 to 1.

    `mse` squared, `l1` absolute, `bce` binary cross entropy in nats (images from 0 to 1).
    With weights the images are (M, N, P, C, H, W).
    """
    distances = _IMAGE_DISTANCES[distance](images, targets)
    if weights_NP is None:
        return distances.mean()
    return average_frames(distances.flatten(-3).mean(dim=-1), weights_NP)


def measure_latents(
    predicted_MNPZ: Tensor, targets_NPZ: Tensor, *, distance: str, weights_NP: Tensor | None = None
) -> Tensor:
    """Mean distance of latents: `mse` squared, `l1` absolute, `cosine` 1 - cosine similarity.

    The last is the loss of SimSiam (Chen & He 2021, equation 1) plus 1; there is no
    projection head.
    """
    if distance == "cosine":
        similarity = functional.cosine_similarity(
            predicted_MNPZ, targets_NPZ.expand_as(predicted_MNPZ), dim=-1, eps=MIN_NORM
        )
        distances = 1 - similarity
    else:
        errors = predicted_MNPZ - targets_NPZ
        distances = errors.square() if distance == "mse" else errors.abs()
        if weights_NP is not None:
            distances = distances.mean(dim=-1)
    return distances.mean() if weights_NP is None else average_frames(distances, weights_NP)


def average_frames(losses_MNP: Tensor, weights_NP: Tensor) -> Tensor:
    """The weighted sum over frames, averaged over members."""
    return (losses_MNP * weights_NP).sum(dim=(-1, -2)).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence to N(0, I) in nats, summed over the last dimension, averaged over the others.

    Source: Kingma & Welling 2014, appendix B.
    """
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.sum(dim=-1).mean()


def hinge_real(energy_N: Tensor) -> Tensor:
    """Mean of max(0, 1 + energy): 0 where every real sequence has an energy of at most -1."""
    return torch.relu(1 + energy_N).mean()


def hinge_fake(energy_N: Tensor) -> Tensor:
    """Mean of max(0, 1 - energy): 0 where every fake sequence has an energy of at least 1.

    Source: the hinge loss of Lim & Ye 2017, "Geometric GAN".
    """
    return torch.relu(1 - energy_N).mean()
