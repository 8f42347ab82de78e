"""The learning-rate range test."""

from __future__ import annotations

import numpy as np
import pytest

from hpcexp.analysis.figures.lr_range import draw_lr_range
from hpcexp.worker.debug.lr_range import sweep_lr
from tests.worker.debug.conftest import MakeBench


def test_the_loss_falls_and_then_blows_up_as_the_rate_rises(make_bench: MakeBench) -> None:
    sweep = sweep_lr(
        make_bench(activation="none", optimizer="sgd"), lowest=1e-4, highest=1e3, num_steps=80
    )
    assert sweep.blown_up is not None
    assert 1e-4 <= sweep.steepest <= sweep.blown_up
    assert sweep.rates[0] == pytest.approx(1e-4)
    ratios = [b / a for a, b in zip(sweep.rates[:-1], sweep.rates[1:], strict=True)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert sweep.smoothed[0] == pytest.approx(sweep.losses[0])
    assert "blows up" in sweep.describe()


def test_the_picture_has_the_losses_and_both_rates(make_bench: MakeBench) -> None:
    sweep = sweep_lr(make_bench(), lowest=1e-5, highest=1e-2, num_steps=12)
    drawing = draw_lr_range(sweep, template="t", group="a=1/2")
    (ax,) = drawing.figure.axes
    lines = {line.get_gid(): line for line in ax.lines}
    assert lines.keys() == {"losses", "smoothed", "steepest", "configured"}
    assert np.array_equal(lines["losses"].get_xdata(), sweep.rates)
    assert drawing.stem == "a=1_2"
    assert len(drawing.table) == 12
