from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.bce_vs_mse import (
    compute_bce,
    compute_equivalent_weight,
    compute_excess,
    draw,
    tabulate,
)
from hpcexp.analysis.figures.drawing import save_drawing

ALL_PIXELS = np.array([0.01, 0.25, 0.5, 0.6, 0.9, 0.99])


def test_the_cross_entropy_is_that_of_torch() -> None:
    truth, prediction = torch.tensor([0.3, 1.0, 0.0]), torch.tensor([0.4, 0.7, 0.2])
    expected = torch.nn.functional.binary_cross_entropy(prediction, truth, reduction="none")
    assert compute_bce(truth.numpy(), prediction.numpy()) == pytest.approx(expected.numpy())


def test_at_small_errors_the_excess_is_a_squared_error_with_the_equivalent_weight() -> None:
    error = 1e-5
    excess = compute_excess(ALL_PIXELS, error)
    assert excess == pytest.approx(compute_equivalent_weight(ALL_PIXELS) * error**2, rel=2e-3)


def test_at_a_white_pixel_the_excess_is_linear() -> None:
    assert compute_excess(1.0, 1e-6) == pytest.approx(1e-6, rel=1e-5)
    assert np.isinf(compute_equivalent_weight(1.0))


def test_the_figure_has_a_curve_for_each_pixel_and_one_for_the_squared_error(
    tmp_path: Path,
) -> None:
    table = tabulate()
    drawing = draw(table)
    (ax,) = drawing.figure.axes
    assert len(ax.lines) == table["true_pixel"].nunique() + 1
    assert all(path.stat().st_size > 0 for path in save_drawing(drawing, plots_dir=tmp_path))
