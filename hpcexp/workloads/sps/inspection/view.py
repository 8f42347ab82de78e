"""The model, its data and its latents, as all kinds of looking share them.

Shape suffixes: B sequences, T frames, P predicted frames, C channels, H and W pixels,
Z latent dimensions, D true coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpcexp.train.inspection import Request
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.dataset import Sequences, Split
from hpcexp.workloads.sps.objective import Objective

SPLITS: tuple[Split, ...] = get_args(Split)
EVALUATION_SET_SIZE = 512
ENCODED_AT_ONCE = 64  # sequences


def count_sequences(config: Config, split: str) -> int:
    """How many sequences a split has."""
    sizes = {"train": config.train_set_size, "validate": config.validate_set_size}
    return sizes.get(split, EVALUATION_SET_SIZE)


@dataclass(frozen=True)
class View:
    """A model in evaluation mode, and what is asked of it."""

    model: Objective
    request: Request

    @property
    def config(self) -> Config:
        """The hyperparameters."""
        return self.model.config

    def choose_split(self, *, default: Split) -> Split:
        """The split that was asked for, else the one that a kind is made for."""
        chosen = self.request.split or default
        return next(split for split in SPLITS if split == chosen)

    @cached_property
    def measured(self) -> Encoded:
        """The sequences that are measured, and their latents."""
        split = self.choose_split(default="evaluate")
        count = min(self.request.num_measured, count_sequences(self.config, split))
        return Encoded(self.model, self._load(split, count), split)

    def draw(self, split: Split) -> Encoded:
        """The sequences that are drawn, and their latents."""
        places = list(self.request.sequences)
        loaded = self._load(split, max(places) + 1)
        return Encoded(
            self.model, Sequences(loaded.images[places], loaded.positions[places]), split
        )

    def _load(self, split: Split, count: int) -> Sequences:
        return load_sequences(self.config.dataset, split=split, num_sequences=count)


@dataclass(frozen=True)
class Encoded:
    """Sequences, and what the model makes of them."""

    model: Objective
    sequences: Sequences
    split: Split

    @cached_property
    def means(self) -> Tensor:
        """Means of the posterior, (B, T, Z), on the model's device."""
        parts = [
            self.model.encode(
                self._to_model(self.sequences.images[start : start + ENCODED_AT_ONCE])
            )
            for start in range(0, len(self.sequences.images), ENCODED_AT_ONCE)
        ]
        return torch.cat([mean for mean, _ in parts])

    @cached_property
    def predictions(self) -> Tensor:
        """Frames min_context to T - 1 as the RNN predicts them on its own, (B, P, Z)."""
        return self.model.predict(self.means)

    def _to_model(self, images_BTCHW: npt.NDArray[np.uint8]) -> Tensor:
        like = next(self.model.parameters())
        # A copy: what the cache holds may be mapped from a file.
        return torch.tensor(images_BTCHW).to(like.device, like.dtype) / 255


def decode_rgb(model: Objective, z_BTZ: Tensor) -> npt.NDArray[np.uint8]:
    """Images of latents as RGB bytes, (B, T, H, W, 3); a tanh's negative values are black."""
    images_BTCHW = model.decode(z_BTZ).clamp(0, 1)
    return to_rgb((255 * images_BTCHW).round().to(torch.uint8).cpu().numpy())


def to_rgb(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Channels last: (..., C, H, W) to (..., H, W, C)."""
    return np.moveaxis(images, -3, -1)


def to_floats(tensor: Tensor) -> npt.NDArray[np.float64]:
    """Numbers on the CPU, in double precision."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def name_latents(count: int) -> Sequence[str]:
    """`z0`, `z1` and so on."""
    return [f"z{place}" for place in range(count)]


def describe_split(split: Split) -> str:
    """Such as `validation set`."""
    names = {"train": "training", "validate": "validation", "evaluate": "evaluation"}
    return f"{names[split]} set"
