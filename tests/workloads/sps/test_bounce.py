from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpcexp.errors import UsageError
from hpcexp.workloads.sps import bounce
from hpcexp.workloads.sps.config.datasets import (
    Bounce,
    BounceDataset,
    BounceLeaveViewDataset,
    XjBounceDataset,
)

TIMES = bounce.frame_times(60)

heights = st.floats(bounce.FLOOR, 4.0)
speeds = st.floats(-4.0, 4.0)


def bounce_event_by_event(height: float, velocity: float, time: float) -> float:
    """Oracle: follow the parabola from contact to contact, turning the velocity round."""
    while True:
        until_contact = (
            velocity + math.sqrt(velocity**2 + 2 * bounce.GRAVITY * (height - bounce.FLOOR))
        ) / bounce.GRAVITY
        if until_contact >= time or until_contact == 0:
            return height + velocity * time - bounce.GRAVITY * time**2 / 2
        time -= until_contact
        velocity = bounce.GRAVITY * until_contact - velocity
        height = bounce.FLOOR


def make_generators(seed: int) -> bounce.Generators:
    return np.random.default_rng(seed), np.random.default_rng(seed + 1000)


def draw(
    num_sequences: int,
    *,
    seed: int = 3,
    chunk: int = 4096,
    settings: Bounce | None = None,
    **changes: Any,
) -> bounce.Floats:
    return bounce.draw_flights(
        num_sequences,
        settings or BounceDataset(**changes),
        generators=make_generators(seed),
        throws_per_chunk=chunk,
    )


def throw(num_throws: int, settings: Bounce | None = None) -> tuple[bounce.Floats, bounce.Floats]:
    chosen = settings or BounceDataset()
    return bounce.draw_throws(num_throws, chosen, generators=make_generators(0))


@given(height=heights, velocity=speeds)
@example(height=bounce.FLOOR, velocity=4.0)
@example(height=bounce.FLOOR, velocity=-4.0)
def test_energy_is_conserved_to_float_precision(height: float, velocity: float) -> None:
    heights_T, velocities_T = bounce.bounce_vertically(
        np.array([height]), np.array([velocity]), times_T=TIMES
    )
    energy = bounce.GRAVITY * heights_T + velocities_T**2 / 2
    start = bounce.GRAVITY * height + velocity**2 / 2
    np.testing.assert_allclose(energy, start, rtol=1e-14)


@given(height=st.floats(1.0, 4.0), velocity=speeds)
def test_heights_agree_with_following_every_bounce(height: float, velocity: float) -> None:
    heights_T, _ = bounce.bounce_vertically(np.array([height]), np.array([velocity]), times_T=TIMES)
    expected = [bounce_event_by_event(height, velocity, time) for time in TIMES]
    np.testing.assert_allclose(heights_T[0], expected, atol=1e-9)


@given(height=heights, velocity=speeds)
def test_the_centre_never_passes_the_floor(height: float, velocity: float) -> None:
    heights_T, _ = bounce.bounce_vertically(np.array([height]), np.array([velocity]), times_T=TIMES)
    assert heights_T.min() >= bounce.FLOOR


def test_a_ball_at_rest_on_the_floor_stays_there() -> None:
    heights_T, velocities_T = bounce.bounce_vertically(
        np.array([bounce.FLOOR]), np.zeros(1), times_T=TIMES
    )
    assert np.all(heights_T == bounce.FLOOR)
    assert np.all(velocities_T == 0)


def test_a_dropped_ball_comes_back_to_its_height_after_a_hand_worked_period() -> None:
    # From 1.25 m above the floor: 0.5 s down at 10 m/s², 0.5 s up again.
    heights_T, _ = bounce.bounce_vertically(
        np.array([1.75]), np.zeros(1), times_T=np.array([0.0, 0.3, 0.5, 0.7, 1.0])
    )
    np.testing.assert_allclose(heights_T[0], [1.75, 1.3, 0.5, 1.3, 1.75], atol=1e-12)


def test_seen_from_above_the_ball_moves_straight_and_evenly() -> None:
    positions = draw(50)
    steps = np.diff(positions[..., :2], axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), atol=1e-12)


def test_flights_begin_at_the_throw() -> None:
    start, velocity = throw(100)
    start[:, 2] += 1
    positions = bounce.follow_flights(start, velocity, times_T=TIMES)
    np.testing.assert_allclose(positions[:, 0], start, atol=1e-12)


def test_throws_fill_their_ranges_and_no_more() -> None:
    start, velocity = throw(20_000)
    np.testing.assert_allclose(start.min(axis=0), [-4, 2, 0], atol=0.01)
    np.testing.assert_allclose(start.max(axis=0), [4, 10, 4], atol=0.01)
    np.testing.assert_allclose(velocity.min(axis=0), [-4, -4, -4], atol=0.01)
    np.testing.assert_allclose(velocity.max(axis=0), [4, 4, 4], atol=0.01)


def test_every_frame_of_every_sequence_is_in_bounds() -> None:
    positions = draw(500)
    from_axis = np.hypot(positions[..., 0], positions[..., 1] - 6)
    assert from_axis.max() <= 4
    assert positions[..., 2].min() >= 0.5
    assert positions[..., 2].max() <= 4
    assert positions[:, 0, 2].min() >= 1


@pytest.mark.parametrize(
    ("frame", "position"),
    [
        (1, (4.01, 6, 2)),
        (19, (0, 1.99, 2)),
        (0, (0, 6, 0.99)),
        (7, (0, 6, 4.01)),
        (7, (0, 6, -0.01)),
        (7, (2.9, 8.9, 2)),
    ],
)
def test_one_frame_out_of_bounds_rejects_its_sequence(
    frame: int, position: tuple[float, float, float]
) -> None:
    positions = np.tile(np.array([0.0, 6.0, 2.0]), (3, 20, 1))
    positions[1, frame] = position
    assert bounce.stay_in_bounds(positions, cylinder_radius=4.0).tolist() == [True, False, True]


def test_about_one_throw_in_twenty_is_accepted() -> None:
    start, velocity = throw(40_000)
    high_enough = start[:, 2] >= bounce.MIN_START_HEIGHT
    flights = bounce.follow_flights(
        start[high_enough], velocity[high_enough], times_T=bounce.frame_times(20)
    )
    rate = bounce.stay_in_bounds(flights, cylinder_radius=4.0).sum() / len(start)
    assert 0.045 < rate < 0.06


def test_the_sequences_are_the_first_throws_of_the_stream_in_bounds() -> None:
    generators = make_generators(3)
    accepted: list[bounce.Floats] = []
    while len(accepted) < 10:
        start, velocity = bounce.draw_throws(1, BounceDataset(), generators=generators)
        if start[0, 2] >= bounce.MIN_START_HEIGHT:
            flight = bounce.follow_flights(start, velocity, times_T=bounce.frame_times(20))
            accepted += list(flight[bounce.stay_in_bounds(flight, cylinder_radius=4.0)])
    np.testing.assert_array_equal(draw(10), np.stack(accepted))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_chunk_size_changes_nothing(chunk: int) -> None:
    np.testing.assert_array_equal(draw(20, chunk=chunk), draw(20))


def test_fewer_sequences_are_the_beginning_of_more() -> None:
    np.testing.assert_array_equal(draw(64), draw(128)[:64])


def test_the_same_seed_repeats_and_another_differs() -> None:
    np.testing.assert_array_equal(draw(5, seed=1), draw(5, seed=1))
    assert not np.isclose(draw(5, seed=1), draw(5, seed=2)).any()


def test_no_sequences_are_an_empty_array() -> None:
    assert draw(0).shape == (0, 20, 3)


def test_long_sequences_are_found_among_their_rare_throws() -> None:
    positions = draw(2, num_frames=300)
    assert bounce.stay_in_bounds(positions, cylinder_radius=4.0).all()


def test_hopelessly_long_sequences_are_an_error_that_names_the_hyperparameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounce, "MAX_BARREN_DRAWS", 20_000)
    told = r"num_frames: 1000000 is too long, dataset\.cylinder_radius: 4 too .*fewer frames"
    with pytest.raises(UsageError, match=told):
        draw(1, num_frames=1_000_000)


def test_where_only_the_first_frames_are_bound_the_error_speaks_of_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounce, "MAX_BARREN_DRAWS", 20_000)
    told = r"may_leave_after: 5 is too long, .*cylinder_radius: 0.001 too small .* for 0.6 s"
    with pytest.raises(UsageError, match=told):
        draw(1, settings=BounceLeaveViewDataset(cylinder_radius=0.001))


# Variants


def test_normal_starts_have_the_standard_deviations_of_which_the_box_is_two() -> None:
    start, velocity = throw(20_000, BounceDataset(start="normal"))
    np.testing.assert_allclose(start.mean(axis=0), [0, 6, 2], atol=0.06)
    np.testing.assert_allclose(start.std(axis=0), [2, 2, 1], rtol=0.02)
    assert np.abs(velocity).max() <= 4


@pytest.mark.parametrize("chunk", [1, 100])
def test_the_chunk_size_does_not_change_normal_starts_either(chunk: int) -> None:
    settings = BounceDataset(start="normal")
    np.testing.assert_array_equal(
        draw(9, chunk=chunk, settings=settings), draw(9, settings=settings)
    )


def test_the_largest_speed_scales_the_same_velocities() -> None:
    _, fast = throw(100)
    _, slow = throw(100, BounceDataset(max_speed=1.0))
    np.testing.assert_allclose(slow * 4, fast)


def test_xj_bounce_stays_in_a_narrower_cylinder() -> None:
    positions = draw(300, settings=XjBounceDataset())
    from_axis = np.hypot(positions[..., 0], positions[..., 1] - 6)
    assert 2.7 < from_axis.max() <= 3.0


LEAVES = BounceLeaveViewDataset()


def test_the_ball_is_in_view_at_first_and_often_leaves_it_later() -> None:
    positions = draw(300, settings=LEAVES)
    seen = bounce.CAMERA.sees(positions)
    assert seen[:, : LEAVES.may_leave_after].all()
    share = (~seen).any(axis=1).mean()
    assert share > 0.25


def test_in_a_wide_cylinder_too_the_ball_is_in_view_at_first() -> None:
    """The cylinder of 4 m lies in the view as a whole, this one does not."""
    settings = BounceLeaveViewDataset(cylinder_radius=8.0, max_speed=8.0)
    seen = bounce.CAMERA.sees(draw(100, settings=settings))
    assert seen[:, : settings.may_leave_after].all()


def test_a_ball_that_may_leave_flies_on_as_any_other() -> None:
    positions = draw(20, settings=LEAVES)
    velocity = (positions[:, 1] - positions[:, 0]) / bounce.SECONDS_PER_FRAME
    expected = positions[:, :1, :2] + velocity[:, None, :2] * bounce.frame_times(20)[:, None]
    np.testing.assert_allclose(positions[..., :2], expected, atol=1e-9)
    assert positions[..., 2].min() >= bounce.FLOOR


def test_a_ball_that_may_leave_after_the_last_frame_never_does() -> None:
    positions = draw(50, settings=BounceLeaveViewDataset(may_leave_after=20))
    assert bounce.CAMERA.sees(positions).all()
