"""Groups can be told apart, on a light and a dark page, whatever cones a reader has."""

from __future__ import annotations

import itertools

import pytest

from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.report.palette import DARK, LIGHT, choose_group_colours
from tests.analysis.report.colour_science import (
    DEFICIENCIES,
    measure_contrast,
    measure_difference,
)

PAPER, DARK_PAPER = "#ffffff", "#14181d"
GRAPHICS = 3.0  # WCAG 2.1, 1.4.11: what is needed to understand a picture
APART = 20.0  # in CIE L*a*b*; 2 to 3 is what is just noticeable side by side


def make_axis(count: int, *, is_numeric: bool) -> GroupAxis:
    names = tuple(f"lr={i}" for i in range(count))
    return GroupAxis(names, names, "lr", is_numeric)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_any_two_colours_are_far_apart(palette: tuple[str, ...], deficiency: str) -> None:
    for first, second in itertools.combinations(palette, 2):
        assert measure_difference(first, second, deficiency=deficiency) > APART, (first, second)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 30])
@pytest.mark.parametrize("is_numeric", [False, True])
def test_every_group_stands_out_from_both_pages(count: int, is_numeric: bool) -> None:
    for colour in choose_group_colours(make_axis(count, is_numeric=is_numeric)):
        assert measure_contrast(colour.light, PAPER) >= GRAPHICS
        assert measure_contrast(colour.dark, DARK_PAPER) >= GRAPHICS


def test_where_colours_are_used_up_dashes_differ() -> None:
    colours = choose_group_colours(make_axis(24, is_numeric=False))
    assert len({(c.light, c.dash) for c in colours}) == 24
    assert colours[0].light == colours[6].light


def test_a_numeric_axis_goes_from_dark_to_light() -> None:
    colours = choose_group_colours(make_axis(5, is_numeric=True))
    contrasts = [measure_contrast(c.light, PAPER) for c in colours]
    assert contrasts == sorted(contrasts, reverse=True)


def test_contrast_is_measured_as_wcag_does() -> None:
    assert measure_contrast("#000000", "#ffffff") == pytest.approx(21)
    assert measure_contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_red_and_green_come_together_for_a_reader_without_green_cones() -> None:
    usual = measure_difference("#d62728", "#2ca02c")
    assert measure_difference("#d62728", "#2ca02c", deficiency="deuteranopia") < 0.5 * usual
