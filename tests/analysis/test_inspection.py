"""The table of all runs that `hpcexp eval` writes, and its figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpcexp.analysis.figures.inspection import draw_eval
from hpcexp.analysis.inspection import (
    list_metrics,
    make_eval_table,
    rank_values,
    read_earlier,
    summarise_groups,
)
from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun
from hpcexp.store.extension import Extension
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
                state = (states or {}).get(run.name, State.PENDING)
                looked.append(LookedInto(run, state, skipped=f"no parameters yet ({state})"))
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
    return EvalReport(EXPERIMENT, plan, EvalDir(Path("eval")), chosen, None, looked)


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
        (State.DIVERGED, Choice(), True),  # as the worst
        (State.DIVERGED, Choice(500), True),  # as it was then
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


DIVERGED = {"width=4_rand_2": State.DIVERGED, "width=8_rand_0": State.DIVERGED}


def test_a_diverged_run_is_the_worst_of_all_ranks_whatever_was_measured() -> None:
    report = make_report({"4": [0.1, 0.2, 0.01], "8": [0.5]}, states=DIVERGED)
    table = make_eval_table(report, "encoder")
    assert table["linear_projection_mse"].tolist() == [0.1, 0.2, 0.01, 0.5]
    assert table["is_worst"].tolist() == [False, False, True, True]
    mse, mig = list_metrics(table)
    assert rank_values(table, mse).tolist() == [0.1, 0.2, math.inf, math.inf]
    assert rank_values(table, mig).tolist() == [0.9, 0.8, -math.inf, -math.inf]
    summary = summarise_groups(table, [mse, mig])
    assert summary["n"].tolist() == [3, 1]
    assert summary[mse.name].tolist() == [0.2, math.inf]
    assert summary[mig.name].tolist() == [0.8, -math.inf]


def test_at_an_epoch_that_it_reached_a_diverged_run_is_as_good_as_it_was() -> None:
    states = {"width=4_rand_0": State.DIVERGED, "width=4_rand_1": State.DIVERGED}
    report = make_report({"4": [0.4, None]}, states=states, choice=Choice(500))
    assert make_eval_table(report, "encoder")["is_worst"].tolist() == [False, True]


def test_diverged_runs_are_crosses_at_the_worse_end_of_each_panel_and_part_of_the_box() -> None:
    report = make_report({"4": [0.1, 0.2, 0.01], "8": [0.5]}, states=DIVERGED)
    drawing = draw_eval(report, make_eval_table(report, "encoder"), kind="encoder")
    assert drawing is not None
    for ax, edge, whisker_end in zip(drawing.figure.axes, (1.0, 0.0), (1.0, 0.0), strict=True):
        (crosses,) = [c for c in ax.collections if c.get_gid() == "diverged"]
        assert np.asarray(crosses.get_offsets())[:, 1].tolist() == [edge, edge]
        whiskers = [line for line in ax.lines if line.get_gid() == "whiskers:0"]
        assert whisker_end in {float(np.asarray(line.get_ydata())[-1]) for line in whiskers}
        assert not [c for c in ax.collections if c.get_gid() == "so_far"]
    labels = [text.get_text() for text in drawing.figure.axes[1].get_xticklabels()]
    assert labels == ["4\nn = 3\n1 diverged", "8\nn = 1\n1 diverged"]
    assert "Cross: diverged" in drawing.figure.get_supxlabel()


# Rows of earlier calls


def save(report: EvalReport, path: Path) -> pd.DataFrame:
    table = make_eval_table(report, "encoder", earlier=read_earlier(path, report))
    table.to_csv(path, index=False)
    return table


def choose_runs(report: EvalReport, *places: int) -> EvalReport:
    return replace(report, runs=[report.runs[place] for place in places])


def test_a_call_replaces_the_rows_of_its_runs_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "encoder.csv"
    states = {"width=8_rand_0": State.DIVERGED}
    report = make_report({"4": [0.1 + 0.2, 0.25], "8": [0.5, None]}, states=states)
    assert read_earlier(path, report) == {}
    first = save(choose_runs(report, 0, 2, 3), path)
    newer = make_report({"4": [0.75, 0.125], "8": [0.5, None]})
    table = save(choose_runs(newer, 1, 3), path)
    assert table["run"].tolist() == [run.name for run in report.plan.runs]
    assert table["linear_projection_mse"].tolist()[:3] == [0.1 + 0.2, 0.125, 0.5]
    assert table["is_worst"].tolist() == [False, False, True, False]
    assert table["problem"].tolist()[3] == "no parameters yet (pending)"
    # What was kept is as if all had been looked at in one call.
    kept = table[table["run"].isin(["width=4_rand_0", "width=8_rand_0"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first[:2], check_like=True)


def test_rows_of_other_parameters_or_another_experiment_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "encoder.csv"
    report = make_report({"4": [0.1, 0.2]})
    save(report, path)
    others = (
        replace(report, choice=Choice("best")),
        replace(report, split="train"),
        replace(report, experiment=ExperimentDir(Path("experiments/2022_m12_d15@00_00_00_width"))),
    )
    for other in others:
        assert read_earlier(path, other) == {}
    assert list(read_earlier(path, report)) == ["width=4_rand_0", "width=4_rand_1"]


@pytest.mark.parametrize(
    ("choice", "ended_at", "expected"),
    [(Choice("last"), 9, False), (Choice("last"), 8, True), (Choice(3), 9, True)],
)
def test_what_a_run_had_before_it_was_made_longer_is_final_no_more(
    tmp_path: Path, choice: Choice, ended_at: int, expected: bool
) -> None:
    path = tmp_path / "encoder.csv"
    report = make_report({"4": [0.1, 0.2]}, choice=choice)
    save(report, path)
    continued = {"width=4_rand_0": {"step": ended_at, "epoch": 3, "num_steps": 18, "num_epochs": 6}}
    extension = Extension(1, "", "hpcexp extend", "someone", None, continued=continued)
    longer = replace(report, plan=replace(report.plan, extensions=(extension,)))
    found = [row["is_final"] for row in read_earlier(path, longer).values()]
    assert found == [expected, True]


@pytest.mark.parametrize("content", ["", "rubbish", "run,epoch\na,b\n", "\0\xff"])
def test_a_damaged_table_is_an_error_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / "encoder.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(HpcexpError, match=f"{path}: not a table of this version"):
        read_earlier(path, make_report({"4": [0.1]}))


def test_nothing_is_drawn_of_nothing() -> None:
    report = make_report({"4": [float("nan")]})
    assert draw_eval(report, make_eval_table(report, "encoder"), kind="encoder") is None
