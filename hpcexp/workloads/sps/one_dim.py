"""A ball that runs to and fro on a line.

Shape suffixes: N sequences, T frames, 3 coordinates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.sps.bounce import frame_times
from hpcexp.workloads.sps.config.datasets import OneDimDataset

Floats = npt.NDArray[np.float64]

DISTANCE, HEIGHT = 6.0, 2.0
"""The line's y and height, in metres."""


def draw_runs(
    num_sequences: int, settings: OneDimDataset, *, generator: np.random.Generator
) -> Floats:
    """Positions (num_sequences, num_frames, 3): starts and velocities are uniform."""
    uniform_N2 = 2 * generator.random((num_sequences, 2)) - 1
    start_N1 = settings.half_length * uniform_N2[:, :1]
    velocity_N1 = settings.max_speed * uniform_N2[:, 1:]
    times_T = frame_times(settings.num_frames)
    positions_NT3 = np.empty((num_sequences, settings.num_frames, 3))
    positions_NT3[..., 0] = reflect(
        start_N1 + velocity_N1 * times_T, half_length=settings.half_length
    )
    positions_NT3[..., 1:] = DISTANCE, HEIGHT
    return positions_NT3


def reflect(x: Floats, *, half_length: float) -> Floats:
    """The place between ± half_length of a ball that turns at both ends without loss."""
    phase = np.mod(x + half_length, 4 * half_length)
    return half_length - np.abs(phase - 2 * half_length)
