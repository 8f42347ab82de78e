"""Encoders: from images to features. A new one is a function and a line in `ENCODERS`.

Shapes: N images, C channels, H and W pixels, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from hpcexp.errors import UsageError
from hpcexp.workloads.images.config import ConvEncoder, EncoderSettings, TorchvisionEncoder

GRID = 4
"""Cells on a side of the pooling grid."""
MAX_GROUPS = 8
PROBE_SIDE = 64
_SHADE, _CONTRAST = 0.5, 0.25  # roughly the mean and the spread of images from 0 to 1


class Encoder(nn.Module):
    """Images from 0 to 1, (N, 3, H, W), to features, (N, F)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Features, (N, F)."""
        features: Tensor = self.body((images_N3HW - _SHADE) / _CONTRAST)
        return features


class Pool(nn.Module):
    """Feature maps (N, C, H, W) to features."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Mean and maximum of each channel, or its mean, or the means of cells of a grid."""
        if self.kind == "grid":
            cells: Tensor = nn.functional.adaptive_avg_pool2d(maps_NCHW, GRID).flatten(1)
            return cells
        mean_NC = maps_NCHW.mean(dim=(-2, -1))
        if self.kind == "average":
            return mean_NC
        return torch.cat([mean_NC, maps_NCHW.amax(dim=(-2, -1))], dim=-1)


class ConvBlock(nn.Sequential):
    """Convolution, norm and activation."""

    def __init__(self, fan_in: int, fan_out: int, *, stride: int, settings: ConvEncoder) -> None:
        norm = _make_norm(settings.norm, fan_out)
        # A bias before a norm has no effect but rounding noise, which Adam magnifies.
        convolution = nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=not norm)
        activation = nn.Mish() if settings.activation == "mish" else nn.ReLU()
        super().__init__(convolution, *norm, activation)


class ResBlock(nn.Module):
    """x + two convolution blocks of x; what goes in has as many channels as what comes out."""

    def __init__(self, channels: int, *, settings: ConvEncoder) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(ConvBlock(channels, channels, stride=1, settings=settings) for _ in range(2))
        )

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Maps of the same shape."""
        added: Tensor = maps_NCHW + self.blocks(maps_NCHW)
        return added


def build_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder of the settings, freshly initialised.

    Raises UsageError where it needs a library that is not installed.
    """
    return Encoder(ENCODERS[settings.kind](settings))


def count_features(encoder: Encoder, *, size: tuple[int, int]) -> int:
    """F: how many features images of a size have."""
    was_training = encoder.training
    with torch.no_grad():
        count = encoder.eval()(torch.zeros(1, 3, *size)).shape[-1]
    encoder.train(was_training)
    return int(count)


def _build_conv(settings: ConvEncoder) -> nn.Module:
    widths = pairwise((3, *settings.channels))
    blocks: list[nn.Module] = [
        ConvBlock(fan_in, fan_out, stride=stride, settings=settings)
        for (fan_in, fan_out), stride in zip(widths, settings.strides, strict=True)
    ]
    last = settings.channels[-1]
    blocks += [ResBlock(last, settings=settings) for _ in range(settings.res_blocks)]
    return nn.Sequential(*blocks, Pool(settings.pool))


def _make_norm(kind: str, channels: int) -> list[nn.Module]:
    if kind == "none":
        return []
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    num_groups = next(g for g in range(MAX_GROUPS, 0, -1) if channels % g == 0)
    return [nn.GroupNorm(num_groups, channels)]


def _build_torchvision(settings: TorchvisionEncoder) -> nn.Module:
    try:
        from torchvision import models
    except ImportError as error:
        raise UsageError(
            f"encoder.kind torchvision ({settings.name}): torchvision is not installed; "
            "pip install torchvision, or choose encoder.kind: conv"
        ) from error
    except RuntimeError as error:  # one that was built for another torch
        raise UsageError(
            f"encoder.kind torchvision: it does not go with torch {torch.__version__} ({error}); "
            "install the torchvision of the same release, or choose encoder.kind: conv"
        ) from error
    if settings.name not in models.list_models(module=models):
        raise UsageError(f"encoder.name: torchvision has no model {settings.name}")
    there = ["DEFAULT", *(weights.name for weights in models.get_model_weights(settings.name))]
    if settings.weights is not None and settings.weights not in there:
        raise UsageError(
            f"encoder.weights: {settings.name} has no {settings.weights}; there are: "
            f"{', '.join(there)}, and null"
        )
    network = models.get_model(settings.name, weights=settings.weights)
    *body, _classifier = network.children()
    layers = nn.Sequential(*body, nn.Flatten())
    try:
        with torch.no_grad():
            layers.eval()(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))
    except (AssertionError, RuntimeError, TypeError) as error:
        raise UsageError(
            f"encoder.name {settings.name}: its modules do not simply run in their order; choose "
            "one whose do, such as resnet18 or mobilenet_v3_small"
        ) from error
    return layers.train()


ENCODERS: Mapping[str, Callable[[Any], nn.Module]] = {
    "conv": _build_conv,
    "torchvision": _build_torchvision,
}
