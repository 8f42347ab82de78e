from __future__ import annotations

import numpy as np

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


def test_values_that_are_not_finite_and_names_with_dollars_are_drawn() -> None:
    assert render_curves(make_curves(), headline="$run_0$ 中文").startswith(b"\x89PNG")
