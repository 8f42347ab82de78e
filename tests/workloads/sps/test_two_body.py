from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpcexp.errors import UsageError
from hpcexp.workloads.sps import rejection, two_body
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
        1000, TwoBodyDataset(), generator=make_generator()
    )
    energy = two_body.compute_energy(place, velocity)
    kept = (energy >= -0.10) & (energy <= -0.07) & (np.linalg.norm(place, axis=1) > 1)
    kept &= find_closest(2 * place, 2 * velocity, mu=2.0) >= 1.6
    balls = two_body.follow_systems(place[kept], velocity[kept], centre[kept], num_frames=4801)
    assert kept.sum() > 50
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
    monkeypatch.setattr(rejection, "MAX_BARREN_DRAWS", 8000)
    with pytest.raises(UsageError, match="conditions of TwoBodyDataset are too strict"):
        draw(1, ball_radius=6.9)
