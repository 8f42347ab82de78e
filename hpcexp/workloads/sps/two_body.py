"""Two balls under mutual gravity, G = 1 and both masses 1, and random orbits that can be seen.

The centre of mass rests, and the balls are mirror images about it: with x the first one's
place from the centre, the relative coordinate r = 2 x obeys r'' = -2 r / |r|³. Coordinates
are (x, y, height): to the right, away from the camera, up.

Shape suffixes: N systems, T frames, B = 2 balls, 3 coordinates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.sps.config.datasets import TwoBody, TwoBodyDataset
from hpcexp.workloads.sps.kepler import find_closest, follow_orbits
from hpcexp.workloads.sps.rejection import collect
from hpcexp.workloads.sps.render import Camera

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

SECONDS_PER_FRAME = 4.0
CAMERA = Camera(position=(0, -11.5, 0), look_at=(0, 0, 0), half_width=0.8)

START_STD = 2.5
VELOCITY_STD = 0.3
MAX_VIEW_COSINE = 0.998
"""Balls seen closer together than this are as good as occluded (3.6 degrees)."""
MAX_DISTANCE = 7.0
"""Of a ball from the origin, in metres."""

_MU = 2.0  # of the relative coordinate
_DRAWS_PER_CHUNK = 4096
MAX_BARREN_DRAWS = 1_000_000
"""Draws in a row of which none is kept before giving up (less than a minute)."""


def draw_systems(
    num_sequences: int, settings: TwoBody, *, generator: np.random.Generator
) -> Floats:
    """Centres of both balls, (num_sequences, num_frames, 2, 3), of systems that are accepted.

    Raises UsageError where next to no system meets the conditions.
    """
    return collect(
        num_sequences,
        lambda num: _draw_accepted(num, settings, generator),
        per_chunk=_DRAWS_PER_CHUNK,
        max_barren=MAX_BARREN_DRAWS,
        advice=f"dataset.kind: the conditions of {type(settings).__name__} are too strict",
        condition="met all of them; choose fewer frames, a smaller ball_radius or centre_std, or "
        "wider bounds",
    )


def draw_starts(
    num: int, settings: TwoBody, *, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """The first ball's place and velocity from the centre of mass, and the centre: (N, 3) each.

    The velocity has no radial part: every system starts at an apsis.
    """
    normal_N9 = generator.standard_normal((num, 9))
    place_N3, velocity_N3 = START_STD * normal_N9[:, :3], VELOCITY_STD * normal_N9[:, 3:6]
    radial_N1 = (velocity_N3 * place_N3).sum(axis=1, keepdims=True)
    velocity_N3 = velocity_N3 - place_N3 * radial_N1 / (place_N3**2).sum(axis=1, keepdims=True)
    is_fixed = settings.centre_of_mass == "fixed"
    centre_N3 = np.zeros((num, 3)) if is_fixed else settings.centre_std * normal_N9[:, 6:]
    return place_N3, velocity_N3, centre_N3


def compute_energy(place_N3: Floats, velocity_N3: Floats) -> Floats:
    """Total energy ½|v1|² + ½|v2|² - 1 / |x1 - x2| of mirrored balls, (N,)."""
    distance_N = 2 * np.linalg.norm(place_N3, axis=1)
    energy: Floats = (velocity_N3**2).sum(axis=1) - 1 / distance_N
    return energy


def follow_systems(
    place_N3: Floats, velocity_N3: Floats, centre_N3: Floats, *, num_frames: int
) -> Floats:
    """Centres of both balls, (N, T, 2, 3)."""
    times_T = SECONDS_PER_FRAME * np.arange(num_frames, dtype=np.float64)
    half_NT3 = follow_orbits(2 * place_N3, 2 * velocity_N3, mu=_MU, times_T=times_T) / 2
    return centre_N3[:, None, None] + np.stack([half_NT3, -half_NT3], axis=2)


def _draw_accepted(num: int, settings: TwoBody, generator: np.random.Generator) -> Floats:
    place_N3, velocity_N3, centre_N3 = draw_starts(num, settings, generator=generator)
    kept_N = find_closest(2 * place_N3, 2 * velocity_N3, mu=_MU) >= 2 * settings.ball_radius
    if isinstance(settings, TwoBodyDataset):
        energy_N = compute_energy(place_N3, velocity_N3)
        kept_N &= (energy_N >= settings.min_energy) & (energy_N <= settings.max_energy)
    balls_NTB3 = follow_systems(
        place_N3[kept_N], velocity_N3[kept_N], centre_N3[kept_N], num_frames=settings.num_frames
    )
    seen_N = stay_near(balls_NTB3) & ~come_near_occlusion(balls_NTB3)
    if isinstance(settings, TwoBodyDataset):
        seen_N &= balls_NTB3[:, :, 0, 1].std(axis=1) >= settings.min_depth_std
    return balls_NTB3[seen_N]


def stay_near(balls_NTB3: Floats) -> Booleans:
    """Whether no ball is ever farther than `MAX_DISTANCE` from the origin, (N,)."""
    near: Booleans = (np.linalg.norm(balls_NTB3, axis=-1) <= MAX_DISTANCE).all(axis=(1, 2))
    return near


def come_near_occlusion(balls_NTB3: Floats) -> Booleans:
    """Whether the balls are ever seen in nearly the same direction, (N,)."""
    sight = balls_NTB3 - np.asarray(CAMERA.position)
    sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
    cosine_NT = (sight[:, :, 0] * sight[:, :, 1]).sum(axis=-1)
    near: Booleans = (cosine_NT > MAX_VIEW_COSINE).any(axis=1)
    return near
