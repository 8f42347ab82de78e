"""The autoencoder: convolutions from images to latents and back.

Shapes: N images, C channels, H height, W width, Z latent dimensions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from hpcexp.workloads.sps.config import Config

SPREAD = (16, 32, 64)
"""Widths of the fully connected layers before the decoder's convolutions (deep_spread)."""
LEAK = 0.01
"""Slope of the leaky ReLU below zero."""


class Encoder(nn.Module):
    """Images to the mean and log-variance of their latents' posterior, or to latents."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, norm = config.vae_channels, config.encoder_batch_norm
        for (fan_in, fan_out), shape in zip(
            pairwise((3, *channels)), config.layer_shapes, strict=True
        ):
            # A bias before a norm has no effect but rounding noise, which Adam magnifies.
            layers.append(nn.Conv2d(fan_in, fan_out, *shape, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(fan_out))
            layers.append(make_activation(config))
        side = config.image_sides[-1]
        self.variational = config.variational
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        outputs = 2 * config.latent_dim if config.variational else config.latent_dim
        self.to_posterior = nn.Linear(channels[-1] * side * side, outputs)

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log-variance, each (N, Z); no log-variance where not variational.

        Of the images' type, also where the layers compute in bf16.
        """
        outputs = self.to_posterior(self.convolutions(images_NCHW)).to(images_NCHW.dtype)
        if not self.variational:
            return outputs, None
        mean_NZ, log_variance_NZ = outputs.chunk(2, -1)
        return mean_NZ, log_variance_NZ


class Decoder(nn.Module):
    """Latents to images: values in (0, 1) from a sigmoid, in (-1, 1) from a tanh."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, sides = config.vae_channels, config.image_sides
        self.image_shape = (channels[-1], sides[-1], sides[-1])
        widths = (config.latent_dim, *(SPREAD if config.deep_spread else ()))
        spread: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            spread += [nn.Linear(fan_in, fan_out), make_activation(config)]
        self.spread = nn.Sequential(
            *spread, nn.Linear(widths[-1], channels[-1] * sides[-1] * sides[-1])
        )
        layers: list[nn.Module] = []
        upwards = zip(
            pairwise((*reversed(channels), 3)),
            pairwise(reversed(sides)),
            reversed(config.layer_shapes),
            strict=True,
        )
        for (fan_in, fan_out), (small, large), (kernel, stride, padding) in upwards:
            # What the encoder's convolution cut off at the edge is added again.
            rest = large - ((small - 1) * stride - 2 * padding + kernel)
            layers += [
                make_activation(config),
                nn.ConvTranspose2d(fan_in, fan_out, kernel, stride, padding, output_padding=rest),
            ]
        last = nn.Sigmoid() if config.decoder_output == "sigmoid" else nn.Tanh()
        self.convolutions = nn.Sequential(*layers, last)

    def forward(self, z_NZ: Tensor) -> Tensor:
        """Images, (N, C, H, W), of the latents' type, also where the layers compute in bf16."""
        *layers, last = self.convolutions
        pixels: Tensor = self.spread(z_NZ).unflatten(-1, self.image_shape)
        for layer in layers:
            pixels = layer(pixels)
        # In bf16 a sigmoid of 0.998 is 1, where nothing is learned any more.
        images: Tensor = last(pixels.to(z_NZ.dtype))
        return images


def make_activation(config: Config) -> nn.Module:
    """The activation between layers."""
    return nn.ReLU() if config.activation == "relu" else nn.LeakyReLU(LEAK)


def sample_posterior(mean: Tensor, log_variance: Tensor | None, normal: Tensor | None) -> Tensor:
    """mean + std * normal; the mean itself where there is no variance or no noise."""
    if log_variance is None or normal is None:
        return mean
    return mean + normal * torch.exp(0.5 * log_variance)
