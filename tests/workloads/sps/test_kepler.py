from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from hpcexp.workloads.sps.kepler import Floats, find_closest, follow_orbits, stumpff

MU = 2.0
TIMES = np.linspace(0, 100, 26)


def follow(position: list[float], velocity: list[float], times: Floats = TIMES) -> Floats:
    positions = follow_orbits(np.array([position]), np.array([velocity]), mu=MU, times_T=times)
    return np.asarray(positions[0])


def test_a_circular_orbit_turns_evenly() -> None:
    radius = 8.0
    speed = np.sqrt(MU / radius)
    angle = speed / radius * TIMES
    expected = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    np.testing.assert_allclose(follow([radius, 0, 0], [0, speed, 0]), expected, atol=1e-10)


def test_an_ellipse_returns_after_its_period() -> None:
    position, velocity = [6.0, 0.0, 2.0], [0.0, 0.5, 0.0]
    axis = 1 / (2 / np.linalg.norm(position) - 0.25 / MU)
    period = 2 * np.pi * np.sqrt(axis**3 / MU)
    times = np.array([0.0, period, 2 * period])
    np.testing.assert_allclose(follow(position, velocity, times), [position] * 3, atol=1e-9)


@pytest.mark.parametrize(
    ("position", "velocity"),
    [
        ([5.0, 1.0, 0.0], [0.1, 0.4, -0.2]),  # an ellipse, not at an apsis
        ([5.0, 0.0, 0.0], [-0.3, 0.1, 0.0]),  # a narrow one
        ([4.0, 3.0, 0.0], [0.0, 0.0, 1.5]),  # a hyperbola
        ([2.0, 0.0, 0.0], [0.0, np.sqrt(2.0), 0.0]),  # a parabola
    ],
)
def test_every_orbit_agrees_with_integrating_newton_s_law(
    position: list[float], velocity: list[float]
) -> None:
    def accelerate(_t: float, state: Floats) -> Floats:
        pull = -MU * state[:3] / np.linalg.norm(state[:3]) ** 3
        return np.concatenate([state[3:], pull])

    start = np.array([*position, *velocity])
    exact = solve_ivp(accelerate, (0, 100), start, t_eval=TIMES, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(follow(position, velocity), exact.y[:3].T, atol=2e-6)


coordinate = st.floats(-6, 6)
speed = st.floats(-0.8, 0.8)


@settings(max_examples=60, deadline=None)
@given(
    position=st.tuples(coordinate, coordinate, coordinate).filter(
        lambda p: np.linalg.norm(p) > 1.5
    ),
    velocity=st.tuples(speed, speed, speed),
)
def test_positions_fulfil_newton_s_law(
    position: tuple[float, float, float], velocity: tuple[float, float, float]
) -> None:
    """By differences over a thousandth of a second, unless the bodies all but collide."""
    step = 1e-3
    closest = find_closest(np.array([position]), np.array([velocity]), mu=MU)[0]
    if closest < 0.5:
        return
    times = np.array([[t - step, t, t + step] for t in (3.0, 20.0, 60.0)]).ravel()
    before, now, after = np.moveaxis(
        follow(list(position), list(velocity), times).reshape(3, 3, 3), 1, 0
    )
    acceleration = (after - 2 * now + before) / step**2
    pull = -MU * now / np.linalg.norm(now, axis=1, keepdims=True) ** 3
    np.testing.assert_allclose(acceleration, pull, atol=2e-5)


def test_the_closest_approach_is_the_least_distance_of_a_whole_orbit() -> None:
    position, velocity = [6.0, 0.0, 2.0], [0.05, 0.4, 0.0]
    positions = follow(position, velocity, np.linspace(0, 100, 20_001))
    closest = find_closest(np.array([position]), np.array([velocity]), mu=MU)[0]
    assert np.linalg.norm(positions, axis=1).min() == pytest.approx(closest, rel=1e-5)


def test_the_stumpff_functions_are_smooth_where_series_and_closed_forms_meet() -> None:
    for edge in (-0.1, 0.1):
        beside = np.array([edge - 1e-9, edge + 1e-9])
        for values in stumpff(beside):
            assert values[0] == pytest.approx(values[1], rel=1e-8)
    c, s = stumpff(np.zeros(1))
    assert (c[0], s[0]) == (0.5, 1 / 6)
