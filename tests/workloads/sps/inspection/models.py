"""Models whose latents and images are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from hpcexp.train.inspection import Findings, Request
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.dataset import Split
from hpcexp.workloads.sps.inspection import inspect
from hpcexp.workloads.sps.objective import Objective
from tests.train.conftest import TINY

NUM_FRAMES, MIN_CONTEXT = 7, 3


class KnownModel(Objective):
    """Its latents are a function of the true positions of the sequences in their order.

    The red of a decoded image is z0, the green z1 and the blue z2; frame t is predicted to
    have t in all latents.
    """

    def __init__(
        self, config: Config, split: Split, latents_of: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(config)
        loaded = load_sequences(config.dataset, split=split, num_sequences=80)
        images = torch.from_numpy(loaded.images.copy())
        self.latents = latents_of(torch.from_numpy(loaded.positions.copy()))
        self.known = {bytes(images[i].numpy()): i for i in range(len(images))}

    def encode(self, images_BTCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        images = (255 * images_BTCHW).round().to(torch.uint8)
        return torch.stack([self.latents[self.known[bytes(i.numpy())]] for i in images]), None

    def decode(self, z_BTZ: Tensor) -> Tensor:
        side = self.config.dataset.resolution
        return z_BTZ[..., :3, None, None].expand(*z_BTZ.shape[:2], 3, side, side)

    def predict(self, z_BTZ: Tensor) -> Tensor:
        frames = torch.arange(MIN_CONTEXT, NUM_FRAMES).to(z_BTZ)
        return frames[None, :, None].expand(len(z_BTZ), -1, z_BTZ.shape[-1])


def make_config(**changes: Any) -> Config:
    return Config(**{**TINY, "train_set_size": 80, "validate_set_size": 80, **changes})


def look(
    kind: str,
    *,
    latents_of: Callable[[Tensor], Tensor] = lambda positions: positions,
    split: Split = "evaluate",
    sequences: tuple[int, ...] = (0, 1),
    changes: Mapping[str, Any] | None = None,
) -> Findings:
    """What is found in a known model."""
    model = KnownModel(make_config(**changes or {}), split, latents_of).eval()
    request = Request(kinds=(kind,), split=split, sequences=sequences, num_measured=80)
    (findings,) = inspect(model, request)
    return findings
