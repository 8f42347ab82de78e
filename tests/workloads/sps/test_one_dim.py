from __future__ import annotations

import numpy as np

from hpcexp.workloads.sps.config.datasets import OneDimDataset
from hpcexp.workloads.sps.one_dim import draw_runs, reflect


def test_a_ball_turns_at_both_ends() -> None:
    x = np.array([0.0, 2.0, 3.0, 4.0, 9.0, 10.0, 12.0, -5.0])
    np.testing.assert_allclose(reflect(x, half_length=3.0), [0, 2, 3, 2, -3, -2, 0, -1])


def test_places_are_uniform_and_speeds_constant_between_turns() -> None:
    positions = draw_runs(4000, OneDimDataset(), generator=np.random.default_rng(0))
    assert positions.shape == (4000, 20, 3)
    assert np.abs(positions[..., 0]).max() <= 3
    np.testing.assert_allclose(positions[:, 0, 0].std(), 3 / np.sqrt(3), rtol=0.03)
    steps = np.diff(positions[..., 0], axis=1)
    assert np.abs(steps).max() <= 4.0 * 0.15 + 1e-12
    assert (positions[..., 1:] == [6.0, 2.0]).all()


def test_the_line_and_the_largest_speed_are_those_of_the_settings() -> None:
    settings = OneDimDataset(half_length=2.0, max_speed=2.0)
    x = draw_runs(4000, settings, generator=np.random.default_rng(0))[..., 0]
    assert 1.99 < np.abs(x).max() <= 2.0
    np.testing.assert_allclose(x[:, 0].std(), 2.0 / np.sqrt(3), rtol=0.03)
    assert 1.99 * 0.15 < np.abs(np.diff(x, axis=1)).max() <= 2.0 * 0.15 + 1e-12


def test_fewer_runs_are_the_beginning_of_more() -> None:
    few = draw_runs(3, OneDimDataset(), generator=np.random.default_rng(1))
    many = draw_runs(9, OneDimDataset(), generator=np.random.default_rng(1))
    np.testing.assert_array_equal(few, many[:3])
