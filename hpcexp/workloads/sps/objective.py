"""The loss terms of learning by physical symmetry.

A sequence is encoded, its sampled latents are transformed, predicted onwards in time by
the RNN, and the predictions are transformed back: what the RNN learns must hold under
the symmetry. Source: Liu et al. 2023, "Learning Interpretable Low-dimensional
Representation via Physical Symmetry".
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.model import Decoder, Dynamics, Encoder
from hpcexp.workloads.sps.symmetry import apply_map, undo_map

LOSS_NAMES = ("self_recon", "predict.image", "predict.z", "kld")


class Objective(nn.Module):
    """The networks and the losses that train them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        shape = {
            "channels": config.vae_channels,
            "resolution": config.dataset.resolution,
            "latent_dim": config.latent_dim,
        }
        self.encoder = Encoder(**shape, batch_norm=config.encoder_batch_norm)  # type: ignore[arg-type]
        self.decoder = Decoder(**shape)  # type: ignore[arg-type]
        self.dynamics = Dynamics(
            latent_dim=config.latent_dim,
            width=config.rnn_width,
            min_context=config.rnn_min_context,
        )

    def forward(
        self,
        batch: Mapping[str, Tensor],
        noise: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
    ) -> Tensor:
        """Unweighted loss terms, (len(LOSS_NAMES),); see `measure`."""
        return self.measure(batch, noise, values)[0]

    def measure(
        self,
        batch: Mapping[str, Tensor],
        noise: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Loss terms and the encoder's means (B, T, Z).

        batch: `images` (B, T, C, H, W), uint8.
        noise: `posterior` (B, T, Z) standard normal; `matrix`, `inverse` (Z, Z) and `offset`
        (Z,) of the symmetry; `teacher_forcing` (T,) uniform in [0, 1).
        values: `teacher_forcing`, the probability that a latent is forced.
        """
        images = batch["images"].to(noise["posterior"].dtype) / 255
        mean_BTZ, log_variance_BTZ = self.encode(images)
        z_BTZ = mean_BTZ + noise["posterior"] * (0.5 * log_variance_BTZ).exp()
        is_forced_T = (noise["teacher_forcing"] < values["teacher_forcing"]).to(z_BTZ.dtype)
        transformed = apply_map(z_BTZ, noise["matrix"], noise["offset"])
        predicted = self.dynamics(transformed, is_forced_T)
        predicted = undo_map(predicted, noise["inverse"], noise["offset"])
        decoded = self.decode(torch.cat([z_BTZ, predicted], dim=1))
        num_frames, min_context = z_BTZ.shape[1], self.dynamics.min_context
        losses = [
            (decoded[:, :num_frames] - images).square().mean(),
            (decoded[:, num_frames:] - images[:, min_context:]).square().mean(),
            (predicted - z_BTZ[:, min_context:]).square().mean(),
            kl_to_standard_normal(mean_BTZ, log_variance_BTZ),
        ]
        return torch.stack(losses), mean_BTZ

    def encode(self, images_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log-variance of every frame, each (B, T, Z)."""
        shape = images_BTCHW.shape[:2]
        mean_NZ, log_variance_NZ = self.encoder(images_BTCHW.flatten(0, 1))
        return mean_NZ.unflatten(0, shape), log_variance_NZ.unflatten(0, shape)

    def decode(self, z_BTZ: Tensor) -> Tensor:
        """Images of latents, (B, T, C, H, W)."""
        images: Tensor = self.decoder(z_BTZ.flatten(0, 1)).unflatten(0, z_BTZ.shape[:2])
        return images


def kl_to_standard_normal(mean_BTZ: Tensor, log_variance_BTZ: Tensor) -> Tensor:
    """KL divergence to N(0, I) in nats, summed over Z, averaged over B and T.

    Source: Kingma & Welling 2014, appendix B.
    """
    terms = mean_BTZ.square() + log_variance_BTZ.exp() - 1 - log_variance_BTZ
    return 0.5 * terms.sum(dim=-1).mean()
