from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hpcexp.train.inspection import ImageGrid
from hpcexp.worker.inspection.images import (
    BLOCK_GAP,
    GAP,
    MIN_CELL,
    choose_scale,
    render_animation,
    render_grid,
)
from tests.worker.inspection.parts import BLUE, EMPTY, GREEN, RED, make_animation, paint

MARK = (213, 94, 0)


def open_grid(grid: ImageGrid, headline: str = "run, epoch 3") -> Image.Image:
    return Image.open(io.BytesIO(render_grid(grid, headline=headline))).convert("RGB")


def find_box(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels of a colour."""
    rows, columns = np.nonzero((np.asarray(image) == colour).all(axis=-1))
    assert len(rows), f"nothing is {colour}"
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    return int(left), int(top), int(right), int(bottom)


def make_grid(**changes: object) -> ImageGrid:
    values = {
        "title": "colours",
        "images_RCHW3": paint([[RED, GREEN], [BLUE, RED]]),
        "row_labels": ["a", "b"],
        "column_labels": ["1", "2"],
        **changes,
    }
    return ImageGrid(**values)


def test_images_are_enlarged_to_sharp_squares_and_stand_in_rows_and_columns() -> None:
    image = open_grid(make_grid())
    green, blue = find_box(image, GREEN), find_box(image, BLUE)
    for left, top, right, bottom in (green, blue):
        assert (right - left + 1, bottom - top + 1) == (MIN_CELL, MIN_CELL)
    assert green[0] - blue[0] == MIN_CELL + GAP
    assert blue[1] - green[1] == MIN_CELL + GAP
    # Nothing between the squares' colours: no pixel was smoothed.
    inside = np.asarray(image)[green[1] : green[3] + 1, green[0] : green[2] + 1]
    assert (inside == GREEN).all()


@pytest.mark.parametrize(("width", "scale"), [(8, 8), (16, 4), (25, 3), (32, 2), (64, 1), (200, 1)])
def test_the_scale_is_the_least_whole_number_that_is_large_enough(width: int, scale: int) -> None:
    assert choose_scale(width, min_cell=64) == scale


def test_what_is_not_shown_is_an_empty_cell() -> None:
    shown = np.array([[True, False], [True, True]])
    image = open_grid(make_grid(is_shown_RC=shown))
    assert find_box(image, EMPTY)[0] - find_box(image, BLUE)[0] == MIN_CELL + GAP
    assert not (np.asarray(image) == GREEN).all(axis=-1).any()


def test_the_mark_stands_in_the_gap_to_the_left_of_its_column() -> None:
    marked = make_grid(mark_column=1)
    image = open_grid(marked)
    left, top, right, bottom = find_box(image, MARK)
    assert find_box(image, BLUE)[2] < left
    assert right < find_box(image, GREEN)[0]
    assert top < find_box(image, GREEN)[1]
    assert bottom >= find_box(image, BLUE)[3]


def test_blocks_of_rows_are_set_apart() -> None:
    image = open_grid(make_grid(rows_per_block=1))
    assert find_box(image, BLUE)[1] - find_box(image, GREEN)[1] == MIN_CELL + GAP + BLOCK_GAP


def test_long_labels_and_headlines_have_room() -> None:
    narrow, wide = make_grid(), make_grid(row_labels=["a very long label of a row", "b"])
    assert find_box(open_grid(wide), BLUE)[0] > find_box(open_grid(narrow), BLUE)[0] + 50
    headline = "a_hyperparameter=" + 30 * "of many words "
    assert find_box(open_grid(narrow, headline), BLUE)[1] > find_box(open_grid(narrow), BLUE)[1]


def test_an_animation_shows_its_frames_in_order_at_its_speed_without_end() -> None:
    animation = Image.open(io.BytesIO(render_animation(make_animation(), headline="run")))
    assert getattr(animation, "n_frames", 1) == 3
    assert animation.info["loop"] == 0
    for frame, colour in enumerate((RED, GREEN, EMPTY)):
        animation.seek(frame)
        assert animation.info["duration"] == 200
        find_box(animation.convert("RGB"), colour)


def test_the_same_grid_gives_the_same_bytes() -> None:
    assert render_grid(make_grid(), headline="x") == render_grid(make_grid(), headline="x")
