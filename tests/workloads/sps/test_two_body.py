from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpcexp.errors import UsageError
from hpcexp.workloads.sps import two_body
from hpcexp.workloads.sps.config.datasets import TwoBody, TwoBodyDataset, TwoBodyNoOrbitDataset
from hpcexp.workloads.sps.kepler import Floats, find_closest


def make_generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw(num: int = 100, settings: TwoBody | None = None, **changes: Any) -> Floats:
    chosen = settings or TwoBodyDataset(**changes)
    return two_body.draw_systems(num, chosen, generator=make_generator())


def measure_energy(balls_NTB3: Floats) -> Floats:
    """Total energy by central differences of finely sampled frames, (N, T - 2)."""
    step = two_body.SECONDS_PER_FRAME
    velocity = (balls_NTB3[:, 2:] - balls_NTB3[:, :-2]) / (2 * step)
    kinetic = (velocity**2).sum(axis=(-1, -2)) / 2
    between = balls_NTB3[:, 1:-1, 0] - balls_NTB3[:, 1:-1, 1]
    energy: Floats = kinetic - 1 / np.linalg.norm(between, axis=-1)
    return energy


def test_the_energy_of_every_orbit_is_conserved_to_a_thousandth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_body, "SECONDS_PER_FRAME", 0.02)
    place, velocity, centre = two_body.draw_starts(
        400, TwoBodyDataset(), generator=make_generator()
    )
    energy = two_body.compute_energy(place, velocity)
    kept = (energy >= -0.10) & (energy <= -0.07) & (np.linalg.norm(place, axis=1) > 1)
    kept &= find_closest(2 * place, 2 * velocity, mu=2.0) >= 1.6
    balls = two_body.follow_systems(place[kept], velocity[kept], centre[kept], num_frames=4801)
    assert kept.sum() > 20
    measured = measure_energy(balls)
    np.testing.assert_allclose(measured, energy[kept, None] + 0 * measured, rtol=1e-3)


def test_angular_momentum_is_conserved_over_all_frames() -> None:
    """Every system stays in the plane in which it started."""
    balls = draw(200)[:, :, 0]
    normal = np.cross(balls[:, 0], balls[:, 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    np.testing.assert_allclose((balls * normal[:, None]).sum(-1), 0, atol=1e-9)


@pytest.mark.parametrize("centre_of_mass", ["fixed", "random"])
def test_the_centre_of_mass_rests(centre_of_mass: str) -> None:
    centre = draw(centre_of_mass=centre_of_mass).mean(axis=2)
    np.testing.assert_allclose(centre, np.broadcast_to(centre[:, :1], centre.shape), atol=1e-12)
    assert (np.abs(centre).max() < 1e-12) == (centre_of_mass == "fixed")


def test_systems_start_at_an_apsis_with_the_spread_asked_for() -> None:
    place, velocity, centre = two_body.draw_starts(
        50_000, TwoBodyDataset(centre_of_mass="random"), generator=make_generator()
    )
    np.testing.assert_allclose(place.std(axis=0), 2.5, rtol=0.02)
    np.testing.assert_allclose(centre.std(axis=0), 1.75, rtol=0.02)
    np.testing.assert_allclose((place * velocity).sum(axis=1), 0, atol=1e-12)
    # A third of the velocity's variance was radial, and is gone.
    assert (velocity**2).sum(axis=1).mean() == pytest.approx(2 * 0.09, rel=0.02)


def test_every_accepted_system_meets_the_conditions() -> None:
    balls = draw(300)
    between = np.linalg.norm(balls[:, :, 0] - balls[:, :, 1], axis=-1)
    assert between.min() >= 1.6
    assert np.linalg.norm(balls, axis=-1).max() <= 7
    assert balls[:, :, 0, 1].std(axis=1).min() >= 1.4
    sight = balls - np.array([0, -11.5, 0])
    sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
    assert (sight[:, :, 0] * sight[:, :, 1]).sum(-1).max() <= 0.998


def test_orbits_turn_1_2_to_2_times() -> None:
    balls = draw(300)[:, :, 0]
    direction = balls / np.linalg.norm(balls, axis=-1, keepdims=True)
    angle = np.arccos((direction[:, :-1] * direction[:, 1:]).sum(-1))
    turns = angle.sum(axis=1) / (2 * np.pi)
    assert 1.0 < turns.min() < 1.3
    assert 1.7 < turns.max() < 2.2


@pytest.mark.parametrize(("centre_of_mass", "rate"), [("fixed", 0.046), ("random", 0.035)])
def test_the_share_of_draws_that_is_accepted(centre_of_mass: str, rate: float) -> None:
    settings = TwoBodyDataset(centre_of_mass=centre_of_mass)  # type: ignore[arg-type]
    accepted = two_body._draw_accepted(40_000, settings, make_generator())
    assert len(accepted) / 40_000 == pytest.approx(rate, abs=0.004)


def test_the_bounds_of_the_energy_are_those_of_the_settings() -> None:
    """Both are nearly reached; the energy is found by each system's start."""
    settings = TwoBodyDataset(min_energy=-0.09, max_energy=-0.08, min_depth_std=0.0)
    place, velocity, _ = two_body.draw_starts(20_000, settings, generator=make_generator())
    balls = two_body._draw_accepted(20_000, settings, make_generator())
    numbers = {tuple(start): n for n, start in enumerate(place.round(9).tolist())}
    kept = [numbers[tuple(start)] for start in balls[:, 0, 0].round(9).tolist()]
    energy = two_body.compute_energy(place[kept], velocity[kept])
    assert -0.09 <= energy.min() < -0.0895
    assert -0.0805 < energy.max() <= -0.08


def test_the_least_variation_of_depth_is_that_of_the_settings() -> None:
    depth = draw(200, min_depth_std=2.0)[:, :, 0, 1].std(axis=1)
    assert 2.0 <= depth.min() < 2.1


def test_the_defaults_are_those_of_the_notebook() -> None:
    defaults = TwoBodyDataset().model_dump(exclude={"seed", "resolution"})
    assert defaults == {
        "kind": "two_body",
        "num_frames": 25,
        "background": (0.0, 0.0, 0.0),
        "ball_radius": 0.8,
        "ball_colours": ((0.0, 1.0, 0.0), (1.0, 0.0, 1.0)),
        "centre_of_mass": "fixed",
        "centre_std": 1.75,
        "min_energy": -0.10,
        "max_energy": -0.07,
        "min_depth_std": 1.4,
    }


def test_the_camera_stands_11_5_before_the_origin_and_sees_0_8_at_distance_1() -> None:
    """9.2 is the half-width at the origin, which is twice as wide at twice the distance."""
    points = np.array([[9.2, 0.0, 0.0], [-9.2, 0.0, 0.0], [0.0, 0.0, 4.6], [0.0, 11.5, 9.2]])
    expected = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, 0.5]])
    np.testing.assert_allclose(two_body.CAMERA.project(points), expected, atol=1e-12)


def test_smaller_balls_may_come_closer() -> None:
    balls = draw(300, TwoBodyNoOrbitDataset(ball_radius=0.4))
    between = np.linalg.norm(balls[:, :, 0] - balls[:, :, 1], axis=-1)
    assert 0.8 <= between.min() < 1.0


def test_the_closest_and_the_farthest_that_is_accepted_are_those_of_the_notebook() -> None:
    balls = draw(1000)
    sight = balls - np.array([0, -11.5, 0])
    sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
    assert 0.9978 < (sight[:, :, 0] * sight[:, :, 1]).sum(-1).max() <= 0.998
    assert 6.8 < np.linalg.norm(draw(1000, centre_of_mass="random"), axis=-1).max() <= 7


def test_without_the_conditions_on_orbits_depth_may_hardly_vary() -> None:
    depth = draw(300, TwoBodyNoOrbitDataset())[:, :, 0, 1].std(axis=1)
    assert 0.3 < (depth < 1.4).mean() < 0.6


def test_the_spread_of_random_centres_is_that_of_the_settings() -> None:
    settings = TwoBodyDataset(centre_of_mass="random", centre_std=0.5)
    _, _, centre = two_body.draw_starts(50_000, settings, generator=make_generator())
    np.testing.assert_allclose(centre.std(axis=0), 0.5, rtol=0.02)


def test_without_the_conditions_on_orbits_energies_are_of_all_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_body, "SECONDS_PER_FRAME", 0.01)
    balls = draw(300, TwoBodyNoOrbitDataset(num_frames=3))
    energy = measure_energy(balls)[:, 0]
    assert ((energy < -0.10) | (energy > -0.07)).mean() > 0.7
    assert (energy > 0).any()  # not bound at all


def test_fewer_systems_are_the_beginning_of_more() -> None:
    np.testing.assert_array_equal(draw(20), draw(40)[:20])


def test_conditions_that_nothing_meets_are_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_body, "MAX_BARREN_DRAWS", 8000)
    with pytest.raises(UsageError, match="conditions of TwoBodyDataset are too strict"):
        draw(1, ball_radius=6.9)
