import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.label_distributions import draw, measure
from hpcexp.workloads.sps.config.datasets import OneDimDataset, XjBounceDataset
from tests.warm.process import run_warm

SCRIPT = Path(__file__).parents[2] / "analysis" / "label_distributions.py"


def test_a_ball_on_a_line_is_spread_evenly_over_it() -> None:
    table = measure(OneDimDataset(), num_sequences=2000)
    assert table["coordinate"].unique().tolist() == ["x"]
    np.testing.assert_allclose(table["metres"], 6 * table["quantile"] - 3, atol=0.2)
    assert table["share_out_of_view"].iloc[0] == pytest.approx(0, abs=0.02)


def test_a_panel_for_each_coordinate_has_a_line_for_each_data_set() -> None:
    table = measure(XjBounceDataset(), num_sequences=20)
    drawing = draw(table)
    assert [len(ax.lines) for ax in drawing.figure.axes] == [1, 1, 1]


def test_an_unknown_kind_is_refused() -> None:
    done = run_warm([sys.executable, SCRIPT, "cube"])
    assert done.returncode == 2
    assert done.stderr.startswith("error: Input tag 'cube'")
