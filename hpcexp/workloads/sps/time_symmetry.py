"""Transforms of time: latents played backwards, faster or slower, and predictions played back.

In the time t of the RNN, frame 0 is the first that it reads. A stretch of ratio s plays
z'(t) = z(t / s), and backwards z'(t) = z(T - 1 - t / s). Between two frames latents are
interpolated linearly. The prediction z'(t), t = c .. T - 1, is compared in the time of the
sequence: frame u is predicted at t = s u (backwards t = s (T - 1 - u)), again interpolated,
where that is a time which the RNN has predicted. The other frames are masked. Played faster
the sequence ends early: its last frame is repeated, and no prediction made from the repeated
frames is compared.

Shapes: V variants (each stretch forwards, then each backwards), T frames, c frames of
context, P = T - c predictions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hpcexp.workloads.sps.config.symmetry import ROUNDING, TimeSymmetry, list_played_frames


class TimeMaps(NamedTuple):
    """How each variant plays time, and plays it back."""

    play_VTT: Tensor  # z' = play z
    play_back_VPP: Tensor  # what the frames in `frames_VP` are predicted to be
    frames_VP: Tensor  # int64
    is_reached_VP: Tensor  # 1 where a frame is predicted, 0 where the row is padding


def make_time_maps(settings: TimeSymmetry, *, num_frames: int, min_context: int) -> TimeMaps:
    """The maps of all variants, float64; the identity comes last, so that V = 2 ratios + 1."""
    ratios = settings.stretch or (1.0,)
    variants = [(ratio, is_reversed) for is_reversed in (False, True) for ratio in ratios]
    maps = [
        _make_one(ratio, is_reversed, num_frames=num_frames, min_context=min_context)
        for ratio, is_reversed in (*variants, (1.0, False))
    ]
    return TimeMaps(*(torch.stack(parts) for parts in zip(*maps, strict=True)))


def draw_variants(
    settings: TimeSymmetry, generator: torch.Generator, *, is_identity: Tensor
) -> Tensor:
    """Indices of variants (count,), the last one where `is_identity` (count,)."""
    count = len(is_identity)
    num_ratios = len(settings.stretch or (1.0,))
    reverse = torch.rand(count, generator=generator, dtype=torch.float64)
    choice = torch.rand(count, generator=generator, dtype=torch.float64)
    is_reversed = reverse < settings.reverse_probability
    variant = (choice * num_ratios).long() + num_ratios * is_reversed
    return torch.where(is_identity, 2 * num_ratios, variant)


def _make_one(
    ratio: float, is_reversed: bool, *, num_frames: int, min_context: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    last, num_predicted = num_frames - 1, num_frames - min_context
    play = torch.zeros(num_frames, num_frames, dtype=torch.float64)
    for t in range(num_frames):
        source = min(t / ratio, last)
        _interpolate(play[t], last - source if is_reversed else source)
    play_back = torch.zeros(num_predicted, num_predicted, dtype=torch.float64)
    frames = torch.zeros(num_predicted, dtype=torch.int64)
    is_reached = torch.zeros(num_predicted, dtype=torch.float64)
    played = list_played_frames(ratio, num_frames=num_frames, min_context=min_context)
    for row, frame in enumerate(played):
        _interpolate(play_back[row], ratio * frame - min_context)
        frames[row] = last - frame if is_reversed else frame
        is_reached[row] = 1.0
    return play, play_back, frames, is_reached


def _interpolate(weights: Tensor, time: float) -> None:
    """Write the weights of the two entries next to a time."""
    lower = min(max(math.floor(time + ROUNDING), 0), len(weights) - 1)
    part = max(time - lower, 0.0)
    weights[lower] += 1 - part if part > ROUNDING else 1.0
    if part > ROUNDING:
        weights[lower + 1] += part
