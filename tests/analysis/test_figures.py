"""Figures by their artists: where the ink is, not how the pixels look."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from hpcexp.analysis import Results, load
from hpcexp.analysis.curves import average_curves, take_median
from hpcexp.analysis.figures.boxplot import (
    SPREAD,
    choose_limits,
    describe_groups,
    draw_boxplot,
    draw_boxplots,
    make_box_table,
    spread_points,
)
from hpcexp.analysis.figures.curves import (
    MAX_GROUPS_WITH_RUNS,
    draw_curves,
    draw_loss_curves,
    draw_metric_curves,
)
from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.success_rate import draw_success_rates
from hpcexp.analysis.losses import describe_loss
from hpcexp.analysis.rows import Rows
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.status import State
from hpcexp.train.metric import Metric
from tests.analysis.builder import MSE, Fate, build_experiment

LOSS = Metric("loss", title="loss")


def find(ax: Axes, gid: str) -> Artist:
    (artist,) = ax.findobj(lambda artist: artist.get_gid() == gid)
    return artist


def find_all(ax: Axes, pattern: str) -> list[Artist]:
    return ax.findobj(lambda artist: re.fullmatch(pattern, artist.get_gid() or "") is not None)


def line(ax: Axes, gid: str) -> Line2D:
    artist = find(ax, gid)
    assert isinstance(artist, Line2D)
    return artist


def y_of(artist: Line2D) -> list[float]:
    return [float(y) for y in np.asarray(artist.get_ydata())]


def points(ax: Axes, kind: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    artist = find(ax, kind)
    assert isinstance(artist, PathCollection)
    return np.asarray(artist.get_offsets(), np.float64)


def draw(results: Results, metric: Metric | None = None) -> Axes:
    metric = metric or results.metric
    table = make_box_table(results, metric)
    ax = Figure().subplots()
    returned = draw_boxplot(ax, table, axis=results.group_axis, metric=metric)
    assert returned is ax
    return ax


def only(drawings: Any) -> Drawing:
    (drawing,) = drawings
    assert isinstance(drawing, Drawing)
    return drawing


# ----------------------------------------------------------------------- boxplots


def test_the_median_line_lies_at_the_median_of_all_finished_runs(mixed_results: Results) -> None:
    ax = draw(mixed_results)
    assert y_of(line(ax, "medians:0")) == pytest.approx([0.225] * 2)  # 0.1 0.15 0.3 diverged
    assert y_of(line(ax, "medians:2")) == pytest.approx([0.95] * 2)


def test_a_box_spans_the_quartiles_and_whiskers_all_runs(mixed_results: Results) -> None:
    ax = draw(mixed_results)
    box = find(ax, "boxes:2").get_path().vertices[:, 1]  # type: ignore[attr-defined]
    assert (box.min(), box.max()) == pytest.approx((0.725, 1.175))
    low, high = find_all(ax, "whiskers:2")
    assert isinstance(low, Line2D)
    assert isinstance(high, Line2D)
    assert (y_of(low)[-1], y_of(high)[-1]) == pytest.approx((0.5, 1.4))


def test_where_a_quartile_falls_on_a_diverged_run_the_box_ends_at_the_top(
    mixed_results: Results,
) -> None:
    ax = draw(mixed_results)
    box = find(ax, "boxes:0").get_path().vertices[:, 1]  # type: ignore[attr-defined]
    assert box.max() == ax.get_ylim()[1] == 1.0


def test_a_group_without_finished_runs_has_no_box(mixed_results: Results) -> None:
    assert not find_all(draw(mixed_results), "boxes:1")


def test_every_finished_run_is_a_point_at_its_value(mixed_results: Results) -> None:
    drawn = points(draw(mixed_results), "final")
    assert sorted(drawn[:, 1]) == pytest.approx([0.1, 0.15, 0.3, 0.5])
    np.testing.assert_allclose(np.round(drawn[:, 0]), [0, 0, 0, 2])


def test_runs_that_still_train_are_hollow_points(mixed_results: Results) -> None:
    ax = draw(mixed_results)
    assert points(ax, "so_far")[:, 1] == pytest.approx([0.7])
    artist = find(ax, "so_far")
    assert isinstance(artist, PathCollection)
    assert len(artist.get_facecolor()) == 0


def test_runs_off_the_axis_are_marked_at_its_top_edge(mixed_results: Results) -> None:
    ax = draw(mixed_results)
    assert points(ax, "beyond")[:, 1] == pytest.approx([1.0])  # axes coordinates
    assert points(ax, "diverged")[:, 1] == pytest.approx([1.0])
    assert np.round(points(ax, "beyond")[:, 0]) == [2]
    assert np.round(points(ax, "diverged")[:, 0]) == [0]


def test_the_primary_metric_goes_from_0_to_its_cap_with_the_threshold_dashed(
    mixed_results: Results,
) -> None:
    ax = draw(mixed_results)
    assert ax.get_ylim() == (0.0, 1.0)
    threshold = line(ax, "threshold")
    assert y_of(threshold) == [0.2, 0.2]
    assert threshold.get_linestyle() == "--"


def test_below_each_box_stands_how_many_runs_it_has_and_what_became_of_others(
    mixed_results: Results,
) -> None:
    labels = [label.get_text() for label in draw(mixed_results).get_xticklabels()]
    assert labels == [
        "16\nn = 4\n1 diverged",
        "32\nn = 0\n4 pending",
        "256\nn = 2\n1 above 1\n1 running\n1 failed",
    ]


def test_turned_labels_name_by_their_marks_what_has_one(mixed_results: Results) -> None:
    metric, axis = mixed_results.metric, mixed_results.group_axis
    table = make_box_table(mixed_results, metric)
    notes = describe_groups(table, axis=axis, metric=metric, by_marks=True)
    assert notes == ["n = 4\n1 ✖", "n = 0\n4 pending", "n = 2\n1 ▲\n1 running\n1 failed"]


def test_an_initialisation_has_the_same_place_in_every_box() -> None:
    places = spread_points(np.arange(40))
    assert places[0] == 0
    assert np.abs(places).max() <= SPREAD / 2
    assert np.diff(np.sort(places)).min() > 0.2 * SPREAD / 40
    np.testing.assert_array_equal(places[:6], spread_points(np.arange(6)))


@pytest.mark.parametrize(
    ("values", "is_log", "low"),
    [
        ([0.1, 0.5], False, 0.0),
        ([0.001, 0.5], True, None),
        ([0.0, 0.5], False, 0.0),
        ([0.7, 0.8, math.inf, math.nan], False, 0.0),
        ([-1.0, 1.0], False, -1.12),
    ],
)
def test_an_axis_is_logarithmic_where_values_span_decades_and_starts_at_0_otherwise(
    values: list[float], is_log: bool, low: float | None
) -> None:
    limits = choose_limits(np.array(values), LOSS)
    assert limits.is_log == is_log
    assert limits.low == pytest.approx(low) if low is not None else 0 < limits.low < 0.001
    assert limits.high > max(v for v in values if math.isfinite(v))


def test_there_is_a_figure_for_the_metric_and_one_for_each_validation_loss(
    mixed_results: Results,
) -> None:
    terms = ("self_recon", "predict.image", "predict.z", "kld")
    stems = [drawing.stem for drawing in draw_boxplots(mixed_results)]
    assert stems == [MSE, "final_loss", *(f"final_loss.{term}" for term in terms)]


def test_a_training_judged_by_its_loss_has_one_figure_of_it_and_one_of_its_curves(
    mixed_results: Results,
) -> None:
    judged = Metric("loss", "squared error")
    table = mixed_results.rows.table
    terms = [c for c in table.columns if c.startswith("loss.")]
    kept = [c for c in table.columns if c not in terms]
    values = table.values[:, [table.columns.index(c) for c in kept]]
    own = replace(
        mixed_results,
        metric=judged,
        runs=mixed_results.runs.drop(columns=[f"final.{term}" for term in terms]),
        rows=Rows(
            table=replace(table, columns=tuple(kept), values=values),
            run_index=mixed_results.rows.run_index,
            max_epoch=mixed_results.rows.max_epoch,
            make_frame=lambda: mixed_results.metrics.drop(columns=terms),
        ),
    )
    assert [drawing.stem for drawing in draw_boxplots(own)] == ["loss"]
    assert [drawing.stem for drawing in draw_metric_curves(own)] == []
    (curves,) = draw_loss_curves(own)
    assert (curves.stem, len(curves.figure.axes)) == ("loss_curves", 2)
    assert "squared error" in [text.get_text() for text in curves.figure.findobj(Text)]
    assert describe_loss("loss", columns=own.metrics.columns) == "loss"
    assert describe_loss("loss", columns=terms) == "loss, weighted sum of its terms"


def test_the_page_says_the_question_the_metric_and_what_the_signs_mean(
    mixed_results: Results,
) -> None:
    figure = next(iter(draw_boxplots(mixed_results))).figure
    texts = [t.get_text() for t in figure.findobj(Text)]
    assert "does it matter?" in texts
    assert "final linear projection MSE (validation), 6 of 12 runs" in texts
    footnote = next(t for t in texts if t.startswith(mixed_results.experiment.name))
    for words in ("(1 of 12 runs)", "cross: diverged", "ring: so far"):
        assert words in footnote.replace("\n", " ")


# ------------------------------------------------------------- nothing overlaps


def meet_varied_fate(run: PlannedRun) -> Fate:
    state = (State.COMPLETED, State.DIVERGED, State.RUNNING)[run.rand_init % 3]
    return Fate(
        mse=0.3 + 0.1 * run.rand_init, loss=10.0 ** -(len(run.group) % 4), state=state, epoch=4
    )


def assert_apart(texts: Sequence[Text], dpi: float) -> None:
    renderer = RendererAgg(1, 1, dpi)  # type: ignore[no-untyped-call]
    boxes = [t.get_window_extent(renderer) for t in texts if t.get_text() and t.get_visible()]
    for one, other in itertools.combinations(boxes, 2):
        overlap_x = min(one.x1, other.x1) - max(one.x0, other.x0)
        overlap_y = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(overlap_x, overlap_y) <= 0.5  # pixels


GRIDS: dict[str, Mapping[str, Sequence[Any]]] = {
    "one group": {},
    "2 groups": {"rnn_width": [16, 32]},
    "2 long names": {"symmetry.kind": ["translate_or_rotate_or_neither_of_them", "trivial"]},
    "30 groups": {"lr": [round(1e-4 * 1.3**i, 7) for i in range(30)]},
    "two axes": {"rnn_width": [8, 16, 32, 64, 128], "lr": [10.0**-i for i in range(6)]},
    "lists": {"vae_channels": [[2**i for i in range(n)] for n in (1, 3, 12)]},
}


@pytest.mark.parametrize("name", GRIDS)
def test_no_text_overlaps_another_or_leaves_the_page(tmp_path: Path, name: str) -> None:
    question = "is it worth $5, " * 12 + "or $6?"
    experiment = build_experiment(
        tmp_path, GRIDS[name], num_epochs=4, fate=meet_varied_fate, question=question
    )
    results = load(experiment)
    drawings = [
        next(iter(draw_boxplots(results))),
        *draw_success_rates(results),
        *draw_metric_curves(results),
        *draw_loss_curves(results),
    ]
    assert len(drawings) == 4
    for drawing in drawings:
        figure = drawing.figure
        figure.draw_without_rendering()
        texts = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text()]
        visible = [t for t in texts if t.get_visible() and is_drawn(t, figure)]
        assert_apart(visible, figure.dpi)
        for text in visible:
            extent = text.get_window_extent()
            assert extent.x0 >= 0
            assert extent.x1 <= figure.bbox.x1
            assert extent.y0 >= 0
            assert extent.y1 <= figure.bbox.y1


def is_drawn(text: Text, figure: Figure) -> bool:
    """Ticks outside of the limits of their axis have labels that are never drawn."""
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if text in (tick.label1, tick.label2):
                    return bool(limits[0] <= tick.get_loc() <= limits[1])
    return True


# ------------------------------------------------------------------ success rates


def test_a_rate_lies_between_the_ends_of_its_interval(mixed_results: Results) -> None:
    drawing = only(draw_success_rates(mixed_results))
    ax = drawing.figure.axes[0]
    assert y_of(line(ax, "rate:0")) == [0.5]
    interval = find(ax, "interval:0")
    assert isinstance(interval, LineCollection)
    (segment,) = interval.get_segments()
    assert segment[:, 1] == pytest.approx([0.150, 0.850], abs=1e-3)
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "16\n2/4",
        "32\nn = 0",
        "256\n0/2",
    ]
    assert not find_all(ax, "rate:1")


def test_before_any_run_has_finished_there_is_no_success_rate(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {}, fate=lambda run: Fate(state=State.RUNNING, epoch=5))
    assert list(draw_success_rates(load(experiment))) == []


# ----------------------------------------------------------------------- curves


def test_medians_and_runs_are_drawn_where_the_numbers_are(mixed_results: Results) -> None:
    curves = average_curves(mixed_results, metric="loss", split="train", window=4)
    ax = draw_curves(Figure().subplots(), curves, axis=mixed_results.group_axis)
    assert ax.get_yscale() == "log"
    group = curves.select("rnn_width=16")
    median = take_median(group)
    np.testing.assert_allclose(y_of(line(ax, "median:0")), median[np.isfinite(median)])
    runs = find(ax, "runs:0")
    assert isinstance(runs, LineCollection)
    for segment, values in zip(runs.get_segments(), group.values, strict=True):
        np.testing.assert_allclose(segment[:, 1], values[~np.isnan(values)])
    assert points(ax, "diverged:0")[0] == pytest.approx(
        (curves.epoch[2], group.values[group.is_diverged][0, 2])
    )


def test_with_many_groups_only_medians_are_drawn(tmp_path: Path) -> None:
    grid = {"rnn_width": list(range(1, MAX_GROUPS_WITH_RUNS + 2))}
    results = load(build_experiment(tmp_path, grid, rand_inits=2, num_epochs=3))
    figure = only(draw_metric_curves(results)).figure
    assert len(find_all(figure.axes[0], "median:.*")) == MAX_GROUPS_WITH_RUNS + 1
    assert not find_all(figure.axes[0], "runs:.*")


def test_training_and_validation_losses_share_their_range(mixed_results: Results) -> None:
    train, validate = only(draw_loss_curves(mixed_results)).figure.axes
    assert train.get_ylim() == validate.get_ylim()


def test_the_legend_stands_outside_of_the_axes(mixed_results: Results) -> None:
    figure = only(draw_metric_curves(mixed_results)).figure
    figure.draw_without_rendering()
    ax = figure.axes[0]
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_window_extent().x0 > ax.get_window_extent().x1
    assert [text.get_text() for text in legend.get_texts()] == ["16", "32", "256"]


def test_the_window_is_named_on_the_axis(mixed_results: Results) -> None:
    curves = average_curves(mixed_results, metric="loss", split="train", window=4)
    ax = draw_curves(Figure().subplots(), curves, axis=mixed_results.group_axis)
    assert ax.get_xlabel() == "epoch (means over 4 epochs)"


def test_a_loss_that_exploded_in_a_diverged_run_does_not_flatten_the_others(
    tmp_path: Path,
) -> None:
    def explode(run: PlannedRun) -> Fate:
        diverged = run.rand_init == 0
        return Fate(
            loss=1e20 if diverged else 0.1,
            state=State.DIVERGED if diverged else State.COMPLETED,
        )

    results = load(build_experiment(tmp_path, {}, fate=explode))
    ax = only(draw_loss_curves(results)).figure.axes[0]
    assert ax.get_ylim()[1] < 100


def test_losses_that_are_all_zero_are_drawn_on_a_linear_axis(tmp_path: Path) -> None:
    results = load(build_experiment(tmp_path, {}, fate=lambda _: Fate(loss=0.0)))
    for ax in only(draw_loss_curves(results)).figure.axes:
        assert ax.get_yscale() == "linear"


def test_the_cross_of_a_run_that_exploded_stands_at_the_edge_and_not_outside(
    tmp_path: Path,
) -> None:
    def explode(run: PlannedRun) -> Fate:
        diverged = run.rand_init == 0
        return Fate(
            loss=1e20 if diverged else 0.1,
            state=State.DIVERGED if diverged else State.COMPLETED,
        )

    results = load(build_experiment(tmp_path, {}, fate=explode))
    axes = only(draw_loss_curves(results)).figure.axes
    heights = [(ax.get_ylim(), points(ax, "diverged:0")[:, 1]) for ax in axes]
    assert all(low <= y <= high for (low, high), ys in heights for y in ys)
    assert any(y == high for (_, high), ys in heights for y in ys)


def test_many_points_are_a_collection_for_each_colour_at_the_same_places(
    mixed_results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = points(draw(mixed_results), "final")
    monkeypatch.setattr("hpcexp.analysis.figures.boxplot.MANY_POINTS", 2)
    drawn = [a for a in find_all(draw(mixed_results), "final") if isinstance(a, PathCollection)]
    assert len(drawn) == 2  # groups that have finished runs
    assert all(len(np.atleast_2d(a.get_facecolor())) == 1 for a in drawn)
    places = np.concatenate([np.asarray(a.get_offsets()) for a in drawn])
    np.testing.assert_allclose(np.sort(places, axis=0), np.sort(expected, axis=0))
