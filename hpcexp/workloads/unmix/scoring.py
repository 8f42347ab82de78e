"""Scores of whole sets of mixtures, for evaluations and pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.items import Items, draw_items
from hpcexp.workloads.unmix.objective import Objective

SCORED_AT_ONCE = 64  # items


def draw_validation_items(config: Config, streams: RandomStreams, *, num_images: int) -> Items:
    """The mixtures of a split that every evaluation sees."""
    return draw_items(config, streams, num_images=num_images, epoch=0, prefix="validate.")


def score_items(model: Objective, images: Tensor, items: Items) -> tuple[Tensor, Tensor]:
    """Weights and scores of all items, the last part of a batch included, each (items, n)."""
    like = next(model.parameters())
    rows_IN = items.rows_IN.to(images.device)
    weights_IN = items.weights_IN.to(like.device, like.dtype)
    scores = []
    for start in range(0, len(items), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        batch = {"images": images[rows_IN[part]]}
        scores.append(model.score(batch, {"weights": weights_IN[part]}))
    return weights_IN, torch.cat(scores)
