"""The networks: a convolutional VAE and a tanh RNN over its latents.

Shapes: B sequences, T frames, N = B T images, C channels, H height, W width, Z latent
dimensions, D hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

KERNEL, STRIDE, PADDING = 4, 2, 1  # halves (or doubles) height and width
SPREAD = (16, 32, 64)  # fully connected layers before the decoder's convolutions


class Encoder(nn.Module):
    """Images to the mean and log-variance of their latents' posterior."""

    def __init__(
        self, *, channels: Sequence[int], resolution: int, latent_dim: int, batch_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise((3, *channels)):
            # A bias before a norm has no effect but rounding noise, which Adam magnifies.
            layers.append(nn.Conv2d(fan_in, fan_out, KERNEL, STRIDE, PADDING, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(fan_out))
            layers.append(nn.ReLU())
        side = resolution // STRIDE ** len(channels)
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.to_posterior = nn.Linear(channels[-1] * side * side, 2 * latent_dim)

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (N, Z)."""
        mean_NZ, log_variance_NZ = self.to_posterior(self.convolutions(images_NCHW)).chunk(2, -1)
        return mean_NZ, log_variance_NZ


class Decoder(nn.Module):
    """Latents to images with values in (0, 1)."""

    def __init__(self, *, channels: Sequence[int], resolution: int, latent_dim: int) -> None:
        super().__init__()
        side = resolution // STRIDE ** len(channels)
        self.image_shape = (channels[-1], side, side)
        spread: list[nn.Module] = []
        for fan_in, fan_out in pairwise((latent_dim, *SPREAD)):
            spread += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.spread = nn.Sequential(*spread, nn.Linear(SPREAD[-1], channels[-1] * side * side))
        upwards = (*reversed(channels), 3)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(upwards):
            layers += [nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, KERNEL, STRIDE, PADDING)]
        self.convolutions = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, z_NZ: Tensor) -> Tensor:
        """Images, (N, C, H, W)."""
        images: Tensor = self.convolutions(self.spread(z_NZ).unflatten(-1, self.image_shape))
        return images


class TanhCell(nn.Module):
    """h' = tanh(W x + U h + b): torch.nn.RNNCell with its two biases, which add up, as one.

    Initialised as there: uniform within 1 / sqrt(width). Written out because RNNCell has
    no batching rule: as lanes of one program it would be run lane by lane.
    """

    def __init__(self, input_dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.read = nn.Linear(input_dim, width)
        self.recur = nn.Linear(width, width, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, input_BI: Tensor, hidden_BD: Tensor) -> Tensor:
        """The next hidden state, (B, D)."""
        return torch.tanh(self.read(input_BI) + self.recur(hidden_BD))


class Dynamics(nn.Module):
    """A tanh RNN that reads latents and predicts the next one."""

    def __init__(self, *, latent_dim: int, width: int, min_context: int) -> None:
        super().__init__()
        self.min_context = min_context
        self.cell = TanhCell(latent_dim, width)
        self.to_latent = nn.Linear(width, latent_dim)

    def forward(self, z_BTZ: Tensor, is_forced_T: Tensor) -> Tensor:
        """Predictions of frames min_context to T - 1: (B, T - min_context, Z).

        The first `min_context` inputs are the given latents. After them the input at time t
        is the given latent where `is_forced_T[t]` is 1, and the RNN's own prediction of it
        where 0.
        """
        batch, num_frames, _ = z_BTZ.shape
        hidden_BD = z_BTZ.new_zeros(batch, self.cell.width)
        predictions: list[Tensor] = []
        for t in range(num_frames - 1):
            input_BZ = z_BTZ[:, t]
            if t >= self.min_context:
                input_BZ = torch.where(is_forced_T[t] > 0.5, input_BZ, predictions[-1])
            hidden_BD = self.cell(input_BZ, hidden_BD)
            if t >= self.min_context - 1:
                predictions.append(self.to_latent(hidden_BD))
        return torch.stack(predictions, dim=1)
