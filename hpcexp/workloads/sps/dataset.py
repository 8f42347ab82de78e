"""The sequences of the sps workload, drawn from their seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.sps.bounce import draw_flights
from hpcexp.workloads.sps.config.datasets import BounceDataset
from hpcexp.workloads.sps.render import Camera, render

Split = Literal["train", "validate"]
FORMAT_VERSION = 1
"""Counts up when the same settings give other numbers: a test holds both together."""

CAMERA = Camera(position=(0, -2, 4), look_at=(0, 10, 0), half_width=0.8)
GREEN = (0.0, 1.0, 0.0)
GREY = (0.6, 0.6, 0.6)

_STREAMS: dict[Split, int] = {"train": 0, "validate": 1}


@dataclass(frozen=True)
class Sequences:
    """Videos and where the ball was: images (N, T, 3, H, W) uint8, positions (N, T, 3) float32.

    Images are RGB from 0 to 255. Positions are (x, y, height) in metres. Where the arrays
    come from the cache they are memory-mapped: processes on a node share their pages, and a
    process that writes into them changes its own copy only.
    """

    images: npt.NDArray[np.uint8]
    positions: npt.NDArray[np.float32]


def draw_sequences(
    settings: BounceDataset, *, split: Split, num_sequences: int, first: Sequences | None = None
) -> Sequences:
    """Draw the first `num_sequences` of a split, without any cache.

    The sequences depend on the settings alone, and a smaller number is the beginning of a
    larger one. Images of `first`, where they belong to the same flights, are not drawn again.
    """
    generator = np.random.default_rng(
        np.random.SeedSequence(settings.seed, spawn_key=(_STREAMS[split],))
    )
    flights = draw_flights(num_sequences, num_frames=settings.num_frames, generator=generator)
    # Images show exactly the positions that are kept, rounding included.
    positions = flights.astype(np.float32)
    num_drawn = 0
    if first and np.array_equal(first.positions, positions[: len(first.positions)]):
        num_drawn = len(first.positions)
    images = render(
        positions[num_drawn:, :, None, :].astype(np.float64),
        radii=[settings.ball_radius],
        colours=[GREEN],
        background=GREY,
        camera=CAMERA,
        resolution=settings.resolution,
    )
    if first and num_drawn:
        images = np.concatenate([first.images, images])
    return Sequences(images=images, positions=positions)
