"""Images drawn from a seed."""

from __future__ import annotations

import numpy as np
import pytest

from hpcexp.workloads.images.config import ProceduralImages
from hpcexp.workloads.images.load import Images, Split, load_images
from hpcexp.workloads.images.procedural import SHAPES


def load(count: int, *, split: Split = "train", **settings: object) -> Images:
    dataset = ProceduralImages.model_validate({"resolution": 16, **settings})
    return load_images(dataset, split=split, count=count, num_validate=0)


def test_images_are_bytes_of_the_size_that_is_asked_for() -> None:
    loaded = load(7, resolution=[8, 12])
    assert loaded.images.shape == (7, 3, 8, 12)
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert loaded.classes == tuple(SHAPES)


def test_fewer_images_are_the_beginning_of_more() -> None:
    few, many = load(5), load(40)
    assert np.array_equal(few.images, many.images[:5])


def test_a_seed_repeats_and_seeds_and_splits_differ() -> None:
    images = load(6).images
    assert np.array_equal(images, load(6).images)
    assert not np.array_equal(images, load(6, seed=1).images)
    assert not np.array_equal(images, load(6, split="validate").images)


@pytest.mark.parametrize("place", range(len(SHAPES)))
def test_every_shape_stands_out_from_its_ground(place: int) -> None:
    for image in load(60, resolution=32).images[place :: len(SHAPES)]:
        corner = image[:, 0, 0].astype(float)
        contrast = np.abs(image - corner[:, None, None]).max()
        assert contrast > 40


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("disc", (0.6, 0.6), (0.8, 0.8)),
        ("ring", (0.75, 0.0), (0.0, 0.0)),
        ("square", (0.8, 0.8), (0.9, 0.0)),
        ("triangle", (0.0, -0.5), (0.9, 0.9)),
        ("cross", (0.9, 0.0), (0.5, 0.5)),
        ("stripes", (0.7, 0.9), (0.35, 0.0)),
    ],
)
def test_a_shape_is_where_its_distance_is_negative(
    name: str, inside: tuple[float, float], outside: tuple[float, float]
) -> None:
    signs = [float(SHAPES[name](np.array(u), np.array(v))) < 0 for u, v in (inside, outside)]
    assert signs == [True, False]
