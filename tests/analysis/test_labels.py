from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from hpcexp.analysis.figures.labels import draw_labels, summarise_labels


def make_labels(num_coordinates: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(400, num_coordinates)).astype(np.float32)


@pytest.mark.parametrize(("num_coordinates", "num_panels"), [(1, 1), (3, 6), (6, 6)])
def test_a_panel_for_each_of_three_coordinates_and_for_each_pair(
    num_coordinates: int, num_panels: int
) -> None:
    names = [f"c{i}" for i in range(num_coordinates)]
    drawing = draw_labels(make_labels(num_coordinates), names, headline="data", stem="data")
    assert len(drawing.figure.axes) == num_panels
    footnote = next(t.get_text() for t in drawing.figure.texts if "n = 400" in t.get_text())
    assert ("the first 3 are drawn" in footnote) == (num_coordinates > 3)


def test_the_bars_of_a_histogram_are_shares() -> None:
    drawing = draw_labels(make_labels(1), ["x"], headline="data", stem="data")
    bars = drawing.figure.axes[0].patches
    heights = [bar.get_height() for bar in bars if isinstance(bar, Rectangle)]
    assert sum(heights) == pytest.approx(1)


def test_the_table_has_range_mean_and_spread() -> None:
    labels = np.array([[0.0, 5.0], [2.0, 5.0]], np.float32)
    table = summarise_labels(labels, ["x", "y"])
    assert table.iloc[0].tolist() == ["x", 0, 1, 2, 1]
    assert table.iloc[1].tolist() == ["y", 5, 5, 5, 0]
