from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest

from hpcexp.workloads.sps import dataset
from hpcexp.workloads.sps.bounce import stay_in_bounds
from hpcexp.workloads.sps.config.datasets import (
    BounceDataset,
    BounceLeaveViewDataset,
    Dataset,
    OneDimDataset,
    TwoBodyDataset,
    TwoBodyNoOrbitDataset,
    XjBounceDataset,
)
from hpcexp.workloads.sps.dataset import (
    Sequences,
    Split,
    draw_motions,
    draw_sequences,
    find_camera,
)
from tests.workloads.sps.sequences import SMALL, assert_same


def test_shapes_and_types_are_those_promised() -> None:
    sequences = draw_sequences(SMALL, split="train", num_sequences=5)
    assert sequences.images.shape == (5, 4, 3, 16, 16)
    assert sequences.images.dtype == np.uint8
    assert sequences.positions.shape == (5, 4, 3)
    assert sequences.positions.dtype == np.float32


def test_fewer_sequences_are_the_beginning_of_more() -> None:
    few = draw_sequences(SMALL, split="train", num_sequences=64)
    many = draw_sequences(SMALL, split="train", num_sequences=128)
    assert_same(few, Sequences(images=many.images[:64], positions=many.positions[:64]))


def test_the_splits_share_no_sequence() -> None:
    splits: list[Split] = ["train", "validate", "evaluate"]
    starts = [
        tuple(start)
        for split in splits
        for start in draw_motions(SMALL, split=split, num_sequences=200)[:, 0, 0].tolist()
    ]
    assert len(set(starts)) == 600


@pytest.mark.parametrize("split", ["train", "validate", "evaluate"])
def test_the_same_seed_repeats_and_another_differs(split: Split) -> None:
    first = draw_sequences(SMALL, split=split, num_sequences=5)
    assert_same(first, draw_sequences(SMALL, split=split, num_sequences=5))
    other_seed = SMALL.model_copy(update={"seed": 1})
    other = draw_sequences(other_seed, split=split, num_sequences=5)
    assert not np.isclose(first.positions, other.positions).any()


def test_radius_and_resolution_change_the_images_but_not_the_flights() -> None:
    changed = SMALL.model_copy(update={"ball_radius": 1.0, "resolution": 32})
    small = draw_sequences(SMALL, split="train", num_sequences=5)
    large = draw_sequences(changed, split="train", num_sequences=5)
    np.testing.assert_array_equal(small.positions, large.positions)
    assert large.images.shape == (5, 4, 3, 32, 32)


def test_the_images_show_a_green_ball_on_grey_in_every_frame() -> None:
    settings = BounceDataset()
    sequences = draw_sequences(settings, split="train", num_sequences=30)
    assert stay_in_bounds(sequences.positions.astype(np.float64), cylinder_radius=4.0).all()
    red, green, blue = np.moveaxis(sequences.images.astype(int), 2, 0)
    assert np.median(green) == np.median(red) == 153
    np.testing.assert_array_equal(red, blue)
    assert np.all((green - red).max(axis=(-1, -2)) > 60)


def test_the_numbers_of_this_format_version_are_pinned() -> None:
    """Where this fails on purpose, FORMAT_VERSION must count up: caches hold old numbers."""
    sequences = draw_sequences(BounceDataset(), split="train", num_sequences=8)
    digest = hashlib.sha256(sequences.images.tobytes() + sequences.positions.tobytes())
    assert (dataset.FORMAT_VERSION, digest.hexdigest()[:16]) == (1, "69219b998beffa1e")


def test_images_of_other_flights_are_not_taken_over(draws: list[int]) -> None:
    other = draw_sequences(SMALL, split="validate", num_sequences=4)
    sequences = draw_sequences(SMALL, split="train", num_sequences=6, first=other)
    assert draws == [4, 6]
    assert_same(sequences, draw_sequences(SMALL, split="train", num_sequences=6))


# All kinds


KINDS: list[Dataset] = [
    BounceDataset(),
    BounceDataset(start="normal", ball_colour="random"),
    XjBounceDataset(),
    BounceLeaveViewDataset(),
    OneDimDataset(),
    TwoBodyDataset(),
    TwoBodyDataset(centre_of_mass="random", ball_colours="random"),
    TwoBodyNoOrbitDataset(),
]
kinds = pytest.mark.parametrize("settings", KINDS, ids=lambda s: s.kind)


@kinds
def test_every_kind_has_a_position_for_each_coordinate_that_it_names(settings: Dataset) -> None:
    sequences = draw_sequences(settings, split="validate", num_sequences=3)
    size = (settings.resolution, settings.resolution)
    assert sequences.images.shape == (3, settings.num_frames, 3, *size)
    assert sequences.positions.shape == (3, settings.num_frames, len(settings.coordinates))


@kinds
def test_of_every_kind_fewer_sequences_are_the_beginning_of_more(settings: Dataset) -> None:
    small = settings.model_copy(update={"resolution": 8})
    few = draw_sequences(small, split="train", num_sequences=4)
    many = draw_sequences(small, split="train", num_sequences=9)
    assert_same(few, Sequences(images=many.images[:4], positions=many.positions[:4]))
    grown = draw_sequences(small, split="train", num_sequences=9, first=few)
    assert_same(grown, many)


def measure_centres(settings: Dataset, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Centres (..., 2) in pixels of what differs from the background."""
    background = 255 * np.asarray(settings.background)[:, None, None]
    contrast = np.abs(images.astype(float) - background).sum(axis=-3)
    total = contrast.sum(axis=(-1, -2))
    pixel = np.arange(settings.resolution) + 0.5
    with np.errstate(invalid="ignore"):  # empty frames have no centre: NaN
        x = (contrast.sum(axis=-2) * pixel).sum(axis=-1) / total
        y = (contrast.sum(axis=-1) * pixel).sum(axis=-1) / total
    return np.stack([x, y], axis=-1)


ONE_BALL: list[Dataset] = [
    BounceDataset(),
    XjBounceDataset(),
    BounceLeaveViewDataset(),
    OneDimDataset(),
]


@pytest.mark.parametrize("settings", ONE_BALL, ids=lambda s: s.kind)
def test_a_ball_is_drawn_where_its_centre_is_seen_to_half_a_pixel(settings: Dataset) -> None:
    """At radius 0.5, wherever the whole ball is in the image."""
    balls = draw_motions(settings, split="train", num_sequences=40).astype(np.float32)
    images = draw_sequences(settings, split="train", num_sequences=40).images
    right_up = find_camera(settings).project(balls[:, :, 0].astype(np.float64))
    half = settings.resolution / 2
    expected = half + half * right_up * [1, -1]
    distance = find_camera(settings).to_camera(balls[:, :, 0].astype(np.float64))[..., 2:]
    is_whole = (np.abs(right_up) + 0.5 / distance / 0.8 < 1).all(axis=-1) & (distance[..., 0] > 2)
    assert is_whole.mean() > 0.5
    errors = np.abs(measure_centres(settings, images) - expected)[is_whole]
    assert errors.max() < 0.5


def test_each_of_two_balls_is_drawn_where_its_centre_is_seen_to_half_a_pixel() -> None:
    settings = TwoBodyDataset(ball_radius=0.5)
    balls = draw_motions(settings, split="train", num_sequences=40).astype(np.float32)
    images = draw_sequences(settings, split="train", num_sequences=40).images
    half = settings.resolution / 2
    right_up = find_camera(settings).project(balls.astype(np.float64))
    expected = half + half * right_up * [1, -1]
    # Green is the first ball alone, red the second: apart, neither hides the other.
    apart = np.linalg.norm(expected[:, :, 0] - expected[:, :, 1], axis=-1) > 8
    is_whole = (np.abs(right_up) < 0.85).all(axis=(-1, -2)) & apart
    assert is_whole.sum() > 100
    for ball, channel in ((0, 1), (1, 0)):
        alone = np.zeros_like(images)
        alone[:, :, 0] = images[:, :, channel]
        errors = np.abs(measure_centres(settings, alone) - expected[:, :, ball])[is_whole]
        assert errors.max() < 0.5


def test_a_ball_that_left_the_view_leaves_empty_frames() -> None:
    settings = BounceLeaveViewDataset()
    images = draw_sequences(settings, split="train", num_sequences=60).images
    is_empty = (images == images[0, 0, 0, 0, 0]).all(axis=(2, 3, 4))
    assert not is_empty[:, : settings.may_leave_after].any()
    assert is_empty.any(axis=1).mean() > 0.2


def test_random_colours_change_no_flight_and_stay_the_same_within_a_sequence() -> None:
    plain = draw_sequences(BounceDataset(), split="train", num_sequences=20)
    settings = BounceDataset(ball_colour="random", ball_radius=1.0)
    coloured = draw_sequences(settings, split="train", num_sequences=20)
    np.testing.assert_array_equal(plain.positions, coloured.positions)
    extremes = []
    for images in coloured.images.astype(int):
        contrast = np.abs(images - 153).sum(axis=1)
        brightest = contrast.reshape(20, -1).argmax(axis=1)
        colours = images.transpose(0, 2, 3, 1).reshape(20, -1, 3)[np.arange(20), brightest]
        np.testing.assert_allclose(colours, np.broadcast_to(colours[:1], colours.shape), atol=1)
        extremes.append(tuple(colours[0]))
    assert len(set(extremes)) == 20


def test_colours_of_ball_and_background_are_those_of_the_settings() -> None:
    settings = BounceDataset(background=(0.0, 0.0, 1.0), ball_colour=(1.0, 0.0, 0.0))
    red, green, blue = draw_sequences(settings, split="train", num_sequences=3).images[0, 0]
    assert (green == 0).all()
    np.testing.assert_allclose(red.astype(int) + blue, 255, atol=1)
    assert red.max() == blue.max() == 255
