from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from hpcexp.analysis.figures.media import PAPER
from hpcexp.analysis.figures.parallel import NOT_THERE, draw_parallel_coordinates
from hpcexp.analysis.figures.sampled_axes import draw_sampled_axes, draw_sampled_axis, smooth
from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.groups import make_group_axis
from hpcexp.analysis.plot import plot_experiment
from hpcexp.analysis.sampled import SampleTable, make_scales
from hpcexp.store.experiment import PlannedGroup, PlannedRun
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment
from tests.analysis.sampling import build_sampled


def find(ax: Any, gid: str) -> list[Any]:
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


def test_every_sample_is_a_point_at_its_value(table: SampleTable) -> None:
    scale = make_scales(table)[0]
    ax = draw_sampled_axis(Figure().subplots(), table, scale)
    [points] = find(ax, "samples")
    assert points.get_offsets().shape == (64, 2)
    x = points.get_offsets()[:, 0]
    expected = [(np.log10(values["lr"]) + 5) / 4 for values in table.values]
    np.testing.assert_allclose(x, expected)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1e-05", "0.001", "0.1"]
    assert len(find(ax, "best")[0].get_offsets()) == 5


def test_levels_have_medians_and_no_smoother(table: SampleTable) -> None:
    scale = next(scale for scale in make_scales(table) if scale.axis == "optimizer")
    ax = draw_sampled_axis(Figure().subplots(), table, scale)
    assert len(find(ax, "median")) == 2
    assert not find(ax, "smoother")


def test_a_running_median_ignores_one_outlier_and_stops_at_diverged_ones() -> None:
    x, y = np.arange(30.0), np.ones(30)
    y[4] = 100
    y[20:] = np.inf
    places, medians = smooth(x, y)
    assert np.all(medians[:10] == 1)
    assert np.isnan(medians[-1])
    assert len(places) == 30 - 7 + 1


def test_diverged_samples_stand_at_the_top(tmp_path: Path) -> None:
    def fate(run: PlannedRun, mse: float) -> Fate:
        bad = run.group in ("sample_003", "sample_004")
        return Fate(mse=mse, state=State.DIVERGED if bad else State.COMPLETED)

    from hpcexp.analysis.sampled import make_sample_table

    table = make_sample_table(load(build_sampled(tmp_path, count=12, fate=fate)))
    ax = draw_sampled_axis(Figure().subplots(), table, make_scales(table)[0])
    assert len(find(ax, "diverged")[0].get_offsets()) == 2
    assert len(find(ax, "samples")[0].get_offsets()) == 10


def test_a_line_for_each_sample_the_best_on_top(sampled: Results) -> None:
    [drawing] = draw_parallel_coordinates(sampled)
    [lines] = find(drawing.figure.axes[0], "samples")
    assert len(lines.get_segments()) == 64
    best = drawing.table.iloc[0]
    np.testing.assert_allclose(lines.get_segments()[-1][0], (0, best["lr"]))
    assert (drawing.table["weight_decay"] == NOT_THERE).sum() == 32
    assert drawing.table["median"].is_monotonic_increasing


def test_figures_fit_a_page_of_a_paper(sampled: Results) -> None:
    [drawing] = draw_sampled_axes(sampled, medium=PAPER)
    assert drawing.figure.get_figwidth() == pytest.approx(7.16)
    assert "Circles: the best five" in drawing.caption


def test_plot_draws_what_suits_samples(tmp_path: Path) -> None:
    report = plot_experiment(build_sampled(tmp_path, count=8))
    stems = {path.stem for path in report.written}
    assert stems == {"sampled_axes", "parallel_coordinates"}
    asked = plot_experiment(report.results.experiment, figures=["boxplots"])
    assert "linear_projection_mse" in {path.stem for path in asked.written}


def test_nothing_is_drawn_of_a_grid(tmp_path: Path) -> None:
    results = load(build_experiment(tmp_path, {"rnn_width": [4, 6]}, num_epochs=1))
    assert not [*draw_sampled_axes(results), *draw_parallel_coordinates(results)]


def test_samples_keep_their_order_and_go_by_their_names() -> None:
    groups = [PlannedGroup(f"sample_00{k}", {"lr": v}) for k, v in enumerate((3.0, 1.0, 2.0))]
    axis = make_group_axis(groups)
    assert axis.labels == axis.names == ("sample_000", "sample_001", "sample_002")
    assert axis.title == "sample"
