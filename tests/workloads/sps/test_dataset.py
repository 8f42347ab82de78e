from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hpcexp.workloads.sps import dataset
from hpcexp.workloads.sps.bounce import stay_in_bounds
from hpcexp.workloads.sps.config.datasets import BounceDataset
from hpcexp.workloads.sps.dataset import Sequences, Split, draw_sequences
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


def test_train_and_validate_share_no_sequence() -> None:
    train = draw_sequences(SMALL, split="train", num_sequences=200).positions
    validate = draw_sequences(SMALL, split="validate", num_sequences=200).positions
    starts = {tuple(start) for start in train[:, 0].tolist()}
    assert starts.isdisjoint(tuple(start) for start in validate[:, 0].tolist())


@pytest.mark.parametrize("split", ["train", "validate"])
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
    assert stay_in_bounds(sequences.positions.astype(np.float64)).all()
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
