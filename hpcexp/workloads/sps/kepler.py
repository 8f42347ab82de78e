"""The exact motion of two bodies about each other, for any energy.

Universal variables: with α = 2 / r0 - v0² / μ, the inverse of the semi-major axis, and the
universal anomaly χ,

    sqrt(μ) t = r0·v0 / sqrt(μ) χ² C(αχ²) + (1 - α r0) χ³ S(αχ²) + r0 χ

which grows with χ at the rate of the distance r. The Stumpff functions C and S are analytic,
so that ellipses, parabolas and hyperbolas are one case. Source: Bate, Mueller & White 1971,
"Fundamentals of Astrodynamics", section 4.

Shape suffixes: N orbits, T times, 3 coordinates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUM_ITERATIONS = 80
"""Newton's method, bracketed: halving alone would reach the last bit of float64."""
SERIES_BELOW = 0.1
"""|z| below which the Stumpff functions are summed as series: no digits cancel."""


def follow_orbits(
    position_N3: Floats, velocity_N3: Floats, *, mu: float, times_T: Floats
) -> Floats:
    """Positions (N, T, 3) of r'' = -μ r / |r|³; times are not negative."""
    distance_N = np.linalg.norm(position_N3, axis=1)
    radial_N = (position_N3 * velocity_N3).sum(axis=1) / np.sqrt(mu)
    alpha_N = 2 / distance_N - (velocity_N3**2).sum(axis=1) / mu
    scaled_T = np.sqrt(mu) * times_T
    chi_NT = _solve(distance_N[:, None], radial_N[:, None], alpha_N[:, None], scaled_T[None])
    z_NT = alpha_N[:, None] * chi_NT**2
    c_NT, s_NT = stumpff(z_NT)
    f_NT = 1 - chi_NT**2 * c_NT / distance_N[:, None]
    g_NT = times_T - chi_NT**3 * s_NT / np.sqrt(mu)
    positions: Floats = (
        f_NT[..., None] * position_N3[:, None] + g_NT[..., None] * velocity_N3[:, None]
    )
    return positions


def find_closest(position_N3: Floats, velocity_N3: Floats, *, mu: float) -> Floats:
    """The least distance on each whole orbit, (N,)."""
    momentum_N3 = np.cross(position_N3, velocity_N3)
    parameter_N = (momentum_N3**2).sum(axis=1) / mu
    distance_N1 = np.linalg.norm(position_N3, axis=1, keepdims=True)
    eccentricity_N3 = np.cross(velocity_N3, momentum_N3) / mu - position_N3 / distance_N1
    closest: Floats = parameter_N / (1 + np.linalg.norm(eccentricity_N3, axis=1))
    return closest


def stumpff(z: Floats) -> tuple[Floats, Floats]:
    """C(z) = (1 - cos √z) / z and S(z) = (√z - sin √z) / √z³, and as they continue below 0."""
    root = np.sqrt(np.abs(z))
    root = np.where(np.abs(z) < SERIES_BELOW, 1.0, root)
    with np.errstate(over="ignore"):
        above = ((1 - np.cos(root)) / root**2, (root - np.sin(root)) / root**3)
        # cosh of what is far below 0 may overflow: the bracket then takes the step back.
        hyperbolic = np.where(z < 0, root, 1.0)
        below = (
            (np.cosh(hyperbolic) - 1) / hyperbolic**2,
            (np.sinh(hyperbolic) - hyperbolic) / hyperbolic**3,
        )
    near = np.where(np.abs(z) < SERIES_BELOW, z, 0.0)
    c_series = 1 / 2 - near / 24 * (1 - near / 30 * (1 - near / 56 * (1 - near / 90)))
    s_series = 1 / 6 - near / 120 * (1 - near / 42 * (1 - near / 72 * (1 - near / 110)))
    is_near = np.abs(z) < SERIES_BELOW
    c = np.where(is_near, c_series, np.where(z < 0, below[0], above[0]))
    s = np.where(is_near, s_series, np.where(z < 0, below[1], above[1]))
    return c, s


def _solve(distance: Floats, radial: Floats, alpha: Floats, time: Floats) -> Floats:
    """The universal anomaly at the scaled times sqrt(μ) t; everything broadcasts."""
    shape = np.broadcast_shapes(distance.shape, time.shape)
    low, high = np.zeros(shape), np.ones(shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(64):
            is_short = _find_time(high, distance, radial, alpha)[0] < time
            if not is_short.any():
                break
            high = np.where(is_short, 2 * high, high)
        chi = (low + high) / 2
        for _ in range(NUM_ITERATIONS):
            found, rate = _find_time(chi, distance, radial, alpha)
            is_early = found < time
            low, high = np.where(is_early, chi, low), np.where(is_early, high, chi)
            newton = chi - (found - time) / rate
            is_inside = (newton >= low) & (newton <= high)
            following = np.where(is_inside, newton, (low + high) / 2)
            if np.array_equal(following, chi):
                break
            chi = following
    return chi


def _find_time(
    chi: Floats, distance: Floats, radial: Floats, alpha: Floats
) -> tuple[Floats, Floats]:
    """The scaled time at an anomaly, and the distance there, which is its derivative."""
    z = alpha * chi**2
    c, s = stumpff(z)
    time = radial * chi**2 * c + (1 - alpha * distance) * chi**3 * s + distance * chi
    rate = radial * chi * (1 - z * s) + (1 - alpha * distance) * chi**2 * c + distance
    return time, rate
