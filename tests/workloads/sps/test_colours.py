from __future__ import annotations

import colorsys

import numpy as np
import pytest

from hpcexp.workloads.sps.colours import Floats, colour_coverage, draw_colours

GREY, RED = (0.6, 0.6, 0.6), (1.0, 0.0, 0.0)


def draw(
    num: int = 300, *, num_balls: int = 1, background: tuple[float, float, float] = GREY
) -> Floats:
    generator = np.random.default_rng(0)
    return draw_colours(num, num_balls=num_balls, background=background, generator=generator)


@pytest.mark.parametrize("background", [GREY, RED, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
def test_random_colours_stay_clear_of_the_background(
    background: tuple[float, float, float],
) -> None:
    colours = draw(background=background)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert np.linalg.norm(colours - background, axis=-1).min() >= 0.5


def test_hues_go_all_around() -> None:
    hues = [colorsys.rgb_to_hsv(*ball)[0] for (ball,) in draw(2000, background=(0.0, 0.0, 0.0))]
    counts, _ = np.histogram(hues, bins=6, range=(0, 1))
    assert counts.min() > 250


def test_two_balls_of_a_sequence_differ_by_a_quarter_of_the_hues() -> None:
    for one, other in draw(num_balls=2):
        gap = abs(colorsys.rgb_to_hsv(*one)[0] - colorsys.rgb_to_hsv(*other)[0])
        assert min(gap, 1 - gap) >= 0.25 - 1e-9


def test_fewer_sequences_have_the_first_colours_of_more() -> None:
    np.testing.assert_array_equal(draw(5, num_balls=2), draw(9, num_balls=2)[:5])


def test_a_pixel_is_mixed_from_balls_and_background_by_what_each_covers() -> None:
    """Pixels of the first ball, of the second, of neither, and of all three."""
    coverage = np.zeros((1, 1, 3, 1, 4), dtype=np.uint8)
    coverage[0, 0, 0, 0] = [255, 0, 0, 51]
    coverage[0, 0, 1, 0] = [0, 255, 0, 102]
    colours = np.array([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    image = colour_coverage(coverage, colours, background=(0.0, 1.0, 0.0))
    expected = [[255, 0, 0], [0, 0, 255], [0, 255, 0], [51, 102, 102]]
    assert image[0, 0, :, 0].T.tolist() == expected
