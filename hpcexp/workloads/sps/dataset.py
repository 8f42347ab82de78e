"""The sequences of the sps workload, drawn from their seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.sps import bounce, two_body
from hpcexp.workloads.sps.colours import colour_coverage, draw_colours, make_coverage_palette
from hpcexp.workloads.sps.config.datasets import (
    Bounce,
    Dataset,
    OneDimDataset,
    SingleBall,
    TwoBody,
    Video,
)
from hpcexp.workloads.sps.one_dim import draw_runs
from hpcexp.workloads.sps.render import Camera, render

Split = Literal["train", "validate", "evaluate"]
FORMAT_VERSION = 1
"""Counts up when the same settings give other numbers: a test holds both together."""

Floats = npt.NDArray[np.float64]

_STREAMS: dict[Split, int] = {"train": 0, "validate": 1, "evaluate": 2}


@dataclass(frozen=True)
class Sequences:
    """Videos and where the balls were: images (N, T, 3, H, W) uint8, positions (N, T, D) float32.

    Images are RGB from 0 to 255. Positions are the coordinates that the settings name, in
    metres. Where the arrays come from the cache they are memory-mapped: processes on a node
    share their pages, and a process that writes into them changes its own copy only.
    """

    images: npt.NDArray[np.uint8]
    positions: npt.NDArray[np.float32]


def draw_sequences(
    settings: Dataset, *, split: Split, num_sequences: int, first: Sequences | None = None
) -> Sequences:
    """Draw the first `num_sequences` of a split, without any cache.

    The sequences depend on the settings alone, and a smaller number is the beginning of a
    larger one. Images of `first`, where they belong to the same motions, are not drawn again.
    """
    # Images show exactly the positions that are kept, rounding included.
    motions = draw_motions(settings, split=split, num_sequences=num_sequences)
    balls_NTB3 = motions.astype(np.float32)
    positions = label_motions(settings, balls_NTB3)
    num_drawn = 0
    if first and np.array_equal(first.positions, positions[: len(first.positions)]):
        num_drawn = len(first.positions)
    images = _film(settings, balls_NTB3.astype(np.float64), split=split, skip=num_drawn)
    if first and num_drawn:
        images = np.concatenate([first.images, images])
    return Sequences(images=images, positions=positions)


def draw_motions(settings: Video, *, split: Split, num_sequences: int) -> Floats:
    """Centres of the balls, (N, T, B, 3): x, y and height in metres.

    Raises UsageError where the settings let next to no motion pass.
    """
    if isinstance(settings, TwoBody):
        generator = make_generator(settings, split)
        return two_body.draw_systems(num_sequences, settings, generator=generator)
    if isinstance(settings, OneDimDataset):
        generator = make_generator(settings, split)
        return draw_runs(num_sequences, settings, generator=generator)[:, :, None]
    assert isinstance(settings, Bounce)
    generators = make_generator(settings, split), make_generator(settings, split, purpose=1)
    return bounce.draw_flights(num_sequences, settings, generators=generators)[:, :, None]


def label_motions(settings: Video, balls_NTB3: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The coordinates that `settings.coordinates` names, (N, T, D)."""
    num_sequences, num_frames = balls_NTB3.shape[:2]
    flat = balls_NTB3.reshape(num_sequences, num_frames, -1)
    return np.ascontiguousarray(flat[..., : len(settings.coordinates)])


def find_camera(settings: Video) -> Camera:
    """The camera of a data set."""
    return two_body.CAMERA if isinstance(settings, TwoBody) else bounce.CAMERA


def make_generator(settings: Video, split: Split, *, purpose: int = 0) -> np.random.Generator:
    """A generator for the motions of a split (purpose 0), its normal starts (1) or colours (2)."""
    key = (_STREAMS[split], purpose) if purpose else (_STREAMS[split],)
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=key))


def _film(settings: Video, balls_NTB3: Floats, *, split: Split, skip: int) -> npt.NDArray[np.uint8]:
    """Images of the motions from number `skip` on."""
    num_sequences, _, num_balls, _ = balls_NTB3.shape
    assert isinstance(settings, SingleBall | TwoBody)
    given = settings.ball_colours if isinstance(settings, TwoBody) else settings.ball_colour
    is_random = given == "random"
    fixed = [given] if isinstance(settings, SingleBall) else given
    background = settings.background
    images = render(
        balls_NTB3[skip:],
        radii=[settings.ball_radius] * num_balls,
        colours=make_coverage_palette(num_balls) if is_random else cast("npt.ArrayLike", fixed),
        background=(0.0, 0.0, 0.0) if is_random else background,
        camera=find_camera(settings),
        resolution=settings.resolution,
    )
    if not is_random:
        return images
    colours_NB3 = draw_colours(
        num_sequences,
        num_balls=num_balls,
        background=background,
        generator=make_generator(settings, split, purpose=2),
    )
    return colour_coverage(images, colours_NB3[skip:], background=background)
