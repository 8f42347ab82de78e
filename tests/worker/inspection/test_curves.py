from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from hpcexp.worker.inspection.curves import draw_curves, render_curves
from tests.worker.inspection.parts import make_curves


def test_each_panel_has_its_lines_with_their_values() -> None:
    figure = draw_curves(make_curves(), headline="run")
    first, second = figure.axes
    lines = {line.get_gid(): line for line in first.lines}
    assert lines.keys() == {"seen", "guessed", "mark"}
    np.testing.assert_array_equal(lines["guessed"].get_xdata(), [1, 2])
    np.testing.assert_array_equal(lines["guessed"].get_ydata(), [2, 4])
    np.testing.assert_array_equal(lines["mark"].get_xdata(), [0.5, 0.5])
    assert (first.get_ylabel(), second.get_ylabel()) == (r"\$a", "b")
    assert second.get_xlabel() == "frame"


def test_lines_of_one_name_look_alike_and_the_legend_names_each_once() -> None:
    figure = draw_curves(make_curves(), headline="run")
    colours = {
        line.get_gid(): line.get_color() for ax in figure.axes for line in reversed(ax.lines)
    }
    for ax in figure.axes:
        assert all(line.get_color() == colours[line.get_gid()] for line in ax.lines)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seen", "guessed"]


def draw_with_mark_at(x: float, *, label: str = "guessed from here") -> Figure:
    curves = make_curves()
    two = replace(
        curves,
        panels=[[row[0], row[0]] for row in curves.panels],
        column_labels=["one", "two"],
        mark_x=x,
        mark_label=label,
    )
    return draw_curves(two, headline="run")


def find_widths(figure: Figure) -> list[float]:
    figure.canvas.draw()
    return [ax.get_position().width for ax in figure.axes]


@pytest.mark.parametrize(("x", "side"), [(0.25, "left"), (1.75, "right")])
def test_the_label_of_a_mark_stands_on_the_side_with_more_room(x: float, side: str) -> None:
    (label,) = draw_with_mark_at(x).axes[0].texts
    assert (label.get_text(), label.get_horizontalalignment()) == ("guessed from here", side)


@pytest.mark.parametrize("x", [0.25, 1.75])
def test_no_panel_gives_way_to_the_label_of_a_mark(x: float) -> None:
    assert find_widths(draw_with_mark_at(x)) == find_widths(draw_with_mark_at(x, label="."))


def test_a_long_headline_is_wrapped_to_the_page() -> None:
    figure = draw_curves(make_curves(), headline="rnn_width=8," * 20 + " epoch 3")
    figure.canvas.draw()
    (heading,) = [text for text in figure.texts if "epoch 3" in text.get_text()]
    assert heading.get_window_extent().x1 < figure.bbox.x1


def test_values_that_are_not_finite_and_names_with_dollars_are_drawn() -> None:
    assert render_curves(make_curves(), headline="$run_0$ 中文").startswith(b"\x89PNG")
