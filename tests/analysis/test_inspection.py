"""The table of all runs that `hpcexp eval` writes, and its figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hpcexp.analysis.figures.inspection import draw_eval
from hpcexp.analysis.inspection import list_metrics, make_eval_table, summarise_groups
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun
from hpcexp.store.layout import EvalDir, ExperimentDir
from hpcexp.store.status import State
from hpcexp.worker.inspection.evaluate import EvalReport, LookedInto
from hpcexp.worker.inspection.parameters import Choice

EXPERIMENT = ExperimentDir(Path("experiments/2022_m12_d14@14_58_06_width"))


def make_report(
    values: Mapping[str, list[float | None]],
    *,
    states: Mapping[str, State] | None = None,
    choice: Choice | None = None,
) -> EvalReport:
    """A report on groups of runs; None is a run without parameters."""
    groups = tuple(PlannedGroup(f"width={width}", {"width": int(width)}) for width in values)
    looked = []
    for width, group_values in values.items():
        for rand_init, value in enumerate(group_values):
            run = PlannedRun(f"width={width}_rand_{rand_init}", f"width={width}", rand_init)
            if value is None:
                looked.append(LookedInto(run, State.PENDING, skipped="no parameters yet (pending)"))
                continue
            state = (states or {}).get(run.name, State.COMPLETED)
            numbers = {"encoder": {"linear_projection_mse": value, "mig": 1 - value, "other": 7}}
            looked.append(LookedInto(run, state, epoch=3, step=9, numbers=numbers))
    plan = Plan(
        name="width",
        question="does width matter?",
        workload="sps",
        seed=0,
        rand_inits=2,
        params={},
        grid={"width": [int(width) for width in values]},
        groups=groups,
        runs=tuple(found.run for found in looked),
        resources={},
        primary_metric={},
    )
    chosen = choice or Choice()
    return EvalReport(EXPERIMENT, plan, EvalDir(Path("eval")), chosen, looked)


def test_the_table_has_a_row_for_every_run_and_says_why_one_has_no_numbers() -> None:
    table = make_eval_table(make_report({"4": [0.25, None], "8": [0.5, 0.75]}), "encoder")
    assert table["run"].tolist()[:2] == ["width=4_rand_0", "width=4_rand_1"]
    assert table["params.width"].tolist() == [4, 4, 8, 8]
    np.testing.assert_array_equal(table["linear_projection_mse"], [0.25, np.nan, 0.5, 0.75])
    assert table["problem"].tolist() == ["", "no parameters yet (pending)", "", ""]
    assert table["is_final"].tolist() == [True, False, True, True]
    assert table["other"].notna().sum() == 3


def test_medians_are_of_the_final_runs_of_each_group() -> None:
    report = make_report(
        {"4": [0.1, 0.2, 0.9], "8": [0.5]}, states={"width=4_rand_2": State.RUNNING}
    )
    table = make_eval_table(report, "encoder")
    summary = summarise_groups(table, list_metrics(table)).set_index("group")
    assert summary.loc["width=4", "linear_projection_mse"] == pytest.approx(0.15)
    assert summary.loc["width=4", "mig"] == pytest.approx(0.85)
    assert summary["n"].tolist() == [2, 1]
    assert summary["not_final"].tolist() == [1, 0]


def test_a_group_that_only_trains_shows_its_median_so_far() -> None:
    report = make_report({"4": [0.4]}, states={"width=4_rand_0": State.RUNNING})
    table = make_eval_table(report, "encoder")
    (row,) = summarise_groups(table, list_metrics(table)).to_dict("records")
    assert (row["n"], row["not_final"]) == (0, 1)
    assert row["linear_projection_mse"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("state", "choice", "is_final"),
    [
        (State.COMPLETED, Choice(), True),
        (State.STOPPED, Choice("best"), True),
        (State.RUNNING, Choice(), False),
        (State.RUNNING, Choice("best"), False),
        (State.RUNNING, Choice(500), True),  # that epoch is over in every run
        (State.FAILED, Choice(), False),
        (State.DIVERGED, Choice(), False),
        (State.DIVERGED, Choice(500), False),
    ],
)
def test_runs_are_compared_where_their_parameters_are_final(
    state: State, choice: Choice, is_final: bool
) -> None:
    report = make_report({"4": [0.4]}, states={"width=4_rand_0": state}, choice=choice)
    assert make_eval_table(report, "encoder")["is_final"].tolist() == [is_final]


def test_the_figure_has_a_panel_for_each_metric_with_the_runs_as_points() -> None:
    report = make_report({"4": [0.25, 0.5], "8": [0.75, None]})
    table = make_eval_table(report, "encoder")
    drawing = draw_eval(report, table, kind="encoder")
    assert drawing is not None
    assert drawing.stem == "encoder"
    first, second = drawing.figure.axes
    assert first.get_title(loc="left") == "linear projection MSE"
    assert second.get_title(loc="left") == "MIG"
    (points,) = [c for c in first.collections if c.get_gid() == "final"]
    assert np.asarray(points.get_offsets())[:, 1].tolist() == [0.25, 0.5, 0.75]
    (box,) = [patch for patch in first.patches if patch.get_gid() == "boxes:0"]
    assert box.get_path().get_extents().y0 == pytest.approx(0.3125)
    labels = [text.get_text() for text in second.get_xticklabels()]
    assert labels == ["4\nn = 2", "8\nn = 1\n1 pending"]


def test_values_so_far_are_rings_and_the_footnote_says_so() -> None:
    report = make_report({"4": [0.25, 0.5]}, states={"width=4_rand_1": State.RUNNING})
    drawing = draw_eval(report, make_eval_table(report, "encoder"), kind="encoder")
    assert drawing is not None
    gids = {collection.get_gid() for collection in drawing.figure.axes[0].collections}
    assert {"final", "so_far"} <= gids
    assert "Ring:" in drawing.figure.get_supxlabel()


def test_nothing_is_drawn_of_nothing() -> None:
    report = make_report({"4": [float("nan")]})
    assert draw_eval(report, make_eval_table(report, "encoder"), kind="encoder") is None
