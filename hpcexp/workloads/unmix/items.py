"""Mixtures: which images, and how much of each; a function of (seed, epoch, index).

An epoch puts the images in a new order; item i is made of the n images from place i of that
order on. So the triples of one epoch are not those of another.

Shape suffixes: I items, N = n sources, B batch, C, H, W image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads.unmix.config import Config

BETA = (5, 8)
"""The share of the first of the two images is drawn from Beta(5, 8)."""


@dataclass(frozen=True)
class Items:
    """rows_IN are places of images, weights_IN how much of each is in the mixture."""

    rows_IN: Tensor
    weights_IN: Tensor

    def __len__(self) -> int:
        return len(self.rows_IN)


def draw_items(
    config: Config, streams: RandomStreams, *, num_images: int, epoch: int, prefix: str = ""
) -> Items:
    """All items of an epoch; those of the first epoch where the config freezes them.

    `prefix` tells apart whom they are for, such as `validate.`.
    """
    index = 0 if config.frozen else epoch
    count, n = config.count_items(num_images), config.num_sources
    order = torch.randperm(num_images, generator=streams.generator(f"{prefix}images", index))
    is_scale = config.items == "scale"
    rows_IN = order[:, None].repeat(1, n) if is_scale else order.unfold(0, n, 1)
    assert len(rows_IN) == count
    slots = torch.rand(count, n, generator=streams.generator(f"{prefix}slots", index)).argsort()
    share_I = draw_beta(count, generator=streams.generator(f"{prefix}shares", index))
    if config.items == "copy":
        share_I = torch.ones_like(share_I)
    weights_IN = torch.zeros(count, n)
    weights_IN.scatter_(1, slots[:, :2], torch.stack([share_I, 1 - share_I], dim=1))
    return Items(rows_IN, weights_IN)


def draw_beta(count: int, *, generator: torch.Generator) -> Tensor:
    """Numbers from Beta(5, 8), (count,): of 13 exponential ones, the first 5 over all."""
    exponential = -torch.log1p(-torch.rand(count, sum(BETA), generator=generator))
    return exponential[:, : BETA[0]].sum(dim=1) / exponential.sum(dim=1)


def mix(images_BNCHW: Tensor, weights_BN: Tensor, *, kind: str) -> tuple[Tensor, Tensor]:
    """The mixture, (B, C, H, W), and the sources beside it, (B, N, C, H, W).

    Of `scale`, the mixture is the image itself and the sources are it times their weights.
    """
    weights = weights_BN[:, :, None, None, None]
    if kind == "scale":
        return images_BNCHW[:, 0], images_BNCHW * weights
    return (images_BNCHW * weights).sum(dim=1), images_BNCHW


def make_item(
    config: Config, streams: RandomStreams, images: Tensor, *, epoch: int, index: int
) -> tuple[Tensor, ...]:
    """One item as (x_mixed, x_1, ..., x_n, y), flat, so that default collation batches it.

    `images` are (num_images, C, H, W), uint8; what is returned is from 0 to 1.
    """
    items = draw_items(config, streams, num_images=len(images), epoch=epoch)
    weights = items.weights_IN[index : index + 1]
    sources = images[items.rows_IN[index]][None] / 255
    mixed, shown = mix(sources, weights, kind=config.items)
    return (mixed[0], *shown[0], weights[0])


def draw_batches(config: Config, streams: RandomStreams, steps: range) -> Items:
    """The items of each of `steps`: rows and weights are (steps, batch, N).

    Each epoch shuffles its items; a rest smaller than a batch is left out.
    """
    per_epoch, size = config.steps_per_epoch, config.batch_size
    rows, weights = [], []
    for epoch in range(steps[0] // per_epoch, steps[-1] // per_epoch + 1):
        items = draw_items(config, streams, num_images=config.train_set_size, epoch=epoch)
        order = torch.randperm(len(items), generator=streams.generator("order", epoch))
        first, last = max(steps[0], epoch * per_epoch), min(steps[-1], (epoch + 1) * per_epoch - 1)
        chosen = order[(first - epoch * per_epoch) * size : (last + 1 - epoch * per_epoch) * size]
        rows.append(items.rows_IN[chosen].view(-1, size, config.num_sources))
        weights.append(items.weights_IN[chosen].view(-1, size, config.num_sources))
    return Items(torch.cat(rows), torch.cat(weights))
