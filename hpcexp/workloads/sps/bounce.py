"""A ball that bounces in 3-D: its exact flight, and random flights that stay in bounds.

Coordinates are (x, y, height) in metres: x grows to the right of the camera, y away from
it, height against gravity. The centre bounces at `FLOOR`, whatever radius is drawn.

Shape suffixes: N sequences, T frames, 3 coordinates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.sps.config.datasets import Bounce, BounceLeaveViewDataset
from hpcexp.workloads.sps.rejection import collect
from hpcexp.workloads.sps.render import Camera

Floats = npt.NDArray[np.float64]

GRAVITY = 10.0
"""Acceleration along -height, in m/s²."""
FLOOR = 0.5
"""Height at which the centre bounces, without loss."""
SECONDS_PER_FRAME = 0.15

START_MEAN = np.array([0.0, 6.0, 2.0])
START_STD = np.array([2.0, 2.0, 1.0])
"""Starts are normal, or uniform in a box of two standard deviations around the mean."""
MIN_START_HEIGHT = 1.0

CYLINDER_AXIS = np.array([0.0, 6.0])
MAX_HEIGHT = 4.0
MAX_BARREN_DRAWS = 10_000_000
"""Throws in a row of which none is kept (some seconds) before giving up."""

CAMERA = Camera(position=(0, -2, 4), look_at=(0, 10, 0), half_width=0.8)

Generators = tuple[np.random.Generator, np.random.Generator]
"""One for uniform numbers and one for normal numbers, given to nobody else."""


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


def draw_throws(
    num_throws: int, settings: Bounce, *, generators: Generators
) -> tuple[Floats, Floats]:
    """Random starts and velocities, each (num_throws, 3), in bounds or not.

    A throw takes six numbers from the first generator, in order, and a normal start three
    from the second: however many throws one call draws, the sequence of throws is the same.
    """
    uniform, normal = generators
    uniform_N6 = uniform.random((num_throws, 6))
    if settings.start == "normal":
        start_N3 = START_MEAN + START_STD * normal.standard_normal((num_throws, 3))
    else:
        low, high = START_MEAN - 2 * START_STD, START_MEAN + 2 * START_STD
        start_N3 = low + (high - low) * uniform_N6[:, :3]
    velocity_N3 = settings.max_speed * (2 * uniform_N6[:, 3:] - 1)
    return start_N3, velocity_N3


def draw_flights(
    num_sequences: int,
    settings: Bounce,
    *,
    generators: Generators,
    throws_per_chunk: int = 4096,
) -> Floats:
    """Positions (num_sequences, num_frames, 3) of random flights that stay in bounds.

    Raises UsageError where the sequence is so long that next to no throw stays in bounds.
    """
    times_T = frame_times(settings.num_frames)
    num_bound = _count_bound_frames(settings)

    def draw_chunk(num_throws: int) -> Floats:
        throws = draw_throws(num_throws, settings, generators=generators)
        return _fly_in_bounds(*throws, settings=settings, times_T=times_T, num_bound=num_bound)

    return collect(
        num_sequences,
        draw_chunk,
        per_chunk=throws_per_chunk,
        max_barren=MAX_BARREN_DRAWS,
        advice=f"{_name_bound(settings)} is too long, dataset.cylinder_radius: "
        f"{settings.cylinder_radius:g} too small or dataset.max_speed: {settings.max_speed:g} "
        "too fast",
        condition=f"stayed within {settings.cylinder_radius:g} m of the axis for "
        f"{times_T[num_bound - 1]:g} s; choose fewer frames, a wider cylinder or slower throws",
    )


def stay_in_bounds(positions_NT3: Floats, *, cylinder_radius: float) -> npt.NDArray[np.bool_]:
    """Which sequences (N,) start high enough and are inside the cylinder at every frame."""
    height_NT = positions_NT3[..., 2]
    inside_NT = _inside_circle(positions_NT3[..., :2], cylinder_radius) & (height_NT >= 0)
    inside_NT &= height_NT <= MAX_HEIGHT
    in_bounds: npt.NDArray[np.bool_] = np.logical_and.reduce(inside_NT, axis=1)
    in_bounds &= height_NT[:, 0] >= MIN_START_HEIGHT
    return in_bounds


def _count_bound_frames(settings: Bounce) -> int:
    """Frames from the first on in which the conditions hold."""
    if isinstance(settings, BounceLeaveViewDataset):
        return min(settings.may_leave_after, settings.num_frames)
    return settings.num_frames


def _name_bound(settings: Bounce) -> str:
    """The hyperparameter that says how long the conditions hold, and its value."""
    if isinstance(settings, BounceLeaveViewDataset) and (
        settings.may_leave_after < settings.num_frames
    ):
        return f"dataset.may_leave_after: {settings.may_leave_after}"
    return f"dataset.num_frames: {settings.num_frames}"


def _fly_in_bounds(
    start_N3: Floats, velocity_N3: Floats, *, settings: Bounce, times_T: Floats, num_bound: int
) -> Floats:
    end_N2 = start_N3[:, :2] + velocity_N3[:, :2] * times_T[num_bound - 1]
    # The ends of the bound rule out most throws before any flight is computed.
    radius = settings.cylinder_radius
    hopeful_N = _inside_circle(start_N3[:, :2], radius) & _inside_circle(end_N2, radius)
    hopeful_N &= start_N3[:, 2] >= MIN_START_HEIGHT
    positions_NT3 = follow_flights(start_N3[hopeful_N], velocity_N3[hopeful_N], times_T=times_T)
    bound_NT3 = positions_NT3[:, :num_bound]
    kept_N = stay_in_bounds(bound_NT3, cylinder_radius=radius)
    if isinstance(settings, BounceLeaveViewDataset):
        kept_N &= CAMERA.sees(bound_NT3).all(axis=1)
    return positions_NT3[kept_N]


def _inside_circle(xy: Floats, radius: float) -> npt.NDArray[np.bool_]:
    from_axis = xy - CYLINDER_AXIS
    inside: npt.NDArray[np.bool_] = from_axis[..., 0] ** 2 + from_axis[..., 1] ** 2 <= radius**2
    return inside
