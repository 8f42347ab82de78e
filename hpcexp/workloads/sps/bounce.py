"""A ball that bounces in 3-D: its exact flight, and random flights that stay in bounds.

Coordinates are (x, y, height) in metres: x grows to the right of the camera, y away from
it, height against gravity. The centre bounces at `FLOOR`, whatever radius is drawn.

Shape suffixes: N sequences, T frames, 3 coordinates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpcexp.errors import UsageError

Floats = npt.NDArray[np.float64]

GRAVITY = 10.0
"""Acceleration along -height, in m/s²."""
FLOOR = 0.5
"""Height at which the centre bounces, without loss."""
SECONDS_PER_FRAME = 0.15

START_LOW = np.array([-4.0, 2.0, 0.0])
START_HIGH = np.array([4.0, 10.0, 4.0])
"""Starts are uniform in this box: two standard deviations (2, 2, 1) around (0, 6, 2)."""
MIN_START_HEIGHT = 1.0
MAX_SPEED = 4.0
"""Each component of the starting velocity is uniform within ± this, in m/s."""

CYLINDER_AXIS = np.array([0.0, 6.0])
CYLINDER_RADIUS = 4.0
MAX_HEIGHT = 4.0

MAX_BARREN_DRAWS = 100_000_000
"""Draws in a row without a single flight in bounds (some seconds) before giving up."""


def frame_times(num_frames: int) -> Floats:
    """Times of the frames in seconds, the first at 0; shape (num_frames,)."""
    return np.arange(num_frames, dtype=np.float64) * SECONDS_PER_FRAME


def bounce_vertically(
    height_N: Floats, velocity_N: Floats, *, times_T: Floats
) -> tuple[Floats, Floats]:
    """Height and vertical velocity at the given times, each (N, T), in closed form.

    Between two contacts the flight is a parabola, and without loss every flight repeats
    the one before: it is enough to know how long ago the ball would have left the floor,
    modulo the time from contact to contact. Heights must be at least `FLOOR`.
    """
    contact_speed = np.sqrt(velocity_N**2 + 2 * GRAVITY * (height_N - FLOOR))[:, None]
    period = 2 * contact_speed / GRAVITY
    since_contact = (contact_speed - velocity_N[:, None]) / GRAVITY + times_T
    # A ball at rest on the floor has no period; any positive one keeps its phase harmless.
    phase = np.where(period > 0, np.mod(since_contact, np.where(period > 0, period, 1)), 0)
    height = FLOOR + phase * (contact_speed - GRAVITY * phase / 2)
    return np.maximum(height, FLOOR), contact_speed - GRAVITY * phase


def follow_flights(start_N3: Floats, velocity_N3: Floats, *, times_T: Floats) -> Floats:
    """Positions (N, T, 3) of balls thrown from start_N3 with velocity_N3."""
    positions_NT3 = start_N3[:, None, :] + velocity_N3[:, None, :] * times_T[:, None]
    positions_NT3[..., 2], _ = bounce_vertically(start_N3[:, 2], velocity_N3[:, 2], times_T=times_T)
    return positions_NT3


def stay_in_bounds(positions_NT3: Floats) -> npt.NDArray[np.bool_]:
    """Which sequences (N,) start high enough and are inside the cylinder at every frame."""
    height_NT = positions_NT3[..., 2]
    inside_NT = _inside_circle(positions_NT3[..., :2]) & (height_NT >= 0)
    inside_NT &= height_NT <= MAX_HEIGHT
    in_bounds: npt.NDArray[np.bool_] = np.logical_and.reduce(inside_NT, axis=1)
    in_bounds &= height_NT[:, 0] >= MIN_START_HEIGHT
    return in_bounds


def draw_throws(num_throws: int, *, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Random starts and velocities, each (num_throws, 3), in bounds or not.

    A throw takes six numbers from the generator, in order: however many throws one call
    draws, the sequence of throws is the same.
    """
    uniform_N6 = generator.random((num_throws, 6))
    start_N3 = START_LOW + (START_HIGH - START_LOW) * uniform_N6[:, :3]
    velocity_N3 = MAX_SPEED * (2 * uniform_N6[:, 3:] - 1)
    return start_N3, velocity_N3


def draw_flights(
    num_sequences: int,
    *,
    num_frames: int,
    generator: np.random.Generator,
    throws_per_chunk: int = 4096,
) -> Floats:
    """Positions (num_sequences, num_frames, 3) of random flights that stay in bounds.

    The flights are the first ones in bounds among the generator's throws: a smaller number
    of sequences is the beginning of a larger one, and the chunk size changes nothing. The
    generator is left somewhere behind them: give it to nobody else.

    Raises UsageError where the sequence is so long that next to no throw stays in bounds.
    """
    times_T = frame_times(num_frames)
    chunks = [np.empty((0, num_frames, 3))]
    num_found = num_barren = 0
    while num_found < num_sequences:
        positions_NT3 = _fly_in_bounds(
            *draw_throws(throws_per_chunk, generator=generator), times_T=times_T
        )
        chunks.append(positions_NT3)
        num_found += len(positions_NT3)
        num_barren = 0 if len(positions_NT3) else num_barren + throws_per_chunk
        _check_fruitful(num_barren, num_frames=num_frames)
    return np.concatenate(chunks)[:num_sequences]


def _fly_in_bounds(start_N3: Floats, velocity_N3: Floats, *, times_T: Floats) -> Floats:
    end_N2 = start_N3[:, :2] + velocity_N3[:, :2] * times_T[-1]
    # First and last frame rule out most throws before any flight is computed.
    hopeful_N = _inside_circle(start_N3[:, :2]) & _inside_circle(end_N2)
    hopeful_N &= start_N3[:, 2] >= MIN_START_HEIGHT
    positions_NT3 = follow_flights(start_N3[hopeful_N], velocity_N3[hopeful_N], times_T=times_T)
    return positions_NT3[stay_in_bounds(positions_NT3)]


def _inside_circle(xy: Floats) -> npt.NDArray[np.bool_]:
    from_axis = xy - CYLINDER_AXIS
    inside: npt.NDArray[np.bool_] = (
        from_axis[..., 0] ** 2 + from_axis[..., 1] ** 2 <= CYLINDER_RADIUS**2
    )
    return inside


def _check_fruitful(num_barren: int, *, num_frames: int) -> None:
    if num_barren >= MAX_BARREN_DRAWS:
        raise UsageError(
            f"dataset.num_frames: {num_frames} is too long: of {num_barren:,} random throws in a "
            f"row, none stayed within {CYLINDER_RADIUS:g} m of the axis for "
            f"{(num_frames - 1) * SECONDS_PER_FRAME:g} s; choose fewer frames"
        )
