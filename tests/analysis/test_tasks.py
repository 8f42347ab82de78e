"""Tables of several tasks: from frames that are worked by hand, and from a trained experiment."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures.boxplot import make_box_table
from hpcexp.analysis.figures.matrix import spell_cell
from hpcexp.analysis.figures.tasks import draw_task, draw_tasks
from hpcexp.analysis.report.task_tables import TaskTable, make_task_tables
from hpcexp.analysis.tasks import (
    ERROR,
    SINGLE_TASK_MODELS,
    add_baselines,
    compare_budgets,
    compute_gain,
    find_baselines,
    find_reference,
    follow_budgets,
    list_tasks,
    tabulate_errors,
    tabulate_forgetting,
)
from hpcexp.errors import UsageError
from hpcexp.train.metric import Metric
from tests.analysis.tasks_builder import build_tasks

NAN = float("nan")

RUNS = pd.DataFrame(
    {
        "group": ["both", "both", "both", "easy", "xor"],
        "final.error.easy": [0.1, 0.2, 0.9, 0.4, NAN],
        "final.error.xor": [0.3, 0.3, 0.3, NAN, 0.2],
    }
)


def test_errors_are_medians_of_groups_and_empty_where_a_task_is_not_trained() -> None:
    table = tabulate_errors(RUNS)
    assert list(table.loc["both"]) == [0.2, 0.3]
    assert table["easy"].isna().to_dict() == {"both": False, "easy": False, "xor": True}


def test_baselines_are_the_groups_of_one_task() -> None:
    assert find_baselines(tabulate_errors(RUNS)) == {"easy": 0.4, "xor": 0.2}
    with pytest.raises(UsageError, match="no group was trained on one task alone"):
        find_baselines(tabulate_errors(RUNS[:3]))


def test_a_gain_is_the_part_of_the_single_task_error_that_is_gone() -> None:
    errors = tabulate_errors(RUNS)
    gain = compute_gain(errors, find_baselines(errors))
    assert list(gain.index) == ["both"]
    assert list(gain.loc["both"]) == pytest.approx([50.0, -50.0, 0.0])


def test_forgetting_is_every_task_s_error_at_the_end_of_every_phase() -> None:
    rows = []
    for epoch in range(5):
        phase = "a" if epoch < 3 else "b"
        errors = {"error.a": 0.1 * epoch, "error.b": 1 - 0.1 * epoch}
        rows.append({"run": "r", "epoch": epoch, "split": "validate", **errors})
        if epoch:
            counts = {f"rows.{t}": 8.0 * (t == phase) for t in "ab"}
            rows.append({"run": "r", "epoch": epoch, "split": "train", **counts})
    table = tabulate_forgetting(pd.DataFrame(rows))
    assert list(table.index) == ["a", "b"]
    assert list(table.loc["a"]) == pytest.approx([0.2, 0.8])
    assert list(table.loc["b"]) == pytest.approx([0.4, 0.6])


def test_runs_that_train_all_tasks_together_have_no_forgetting_matrix() -> None:
    rows = [
        {"run": "r", "epoch": 1, "split": s, "rows.a": 8.0, "rows.b": 8.0, "error.a": 1.0,
         "error.b": 1.0}
        for s in ("train", "validate")
    ]  # fmt: skip
    with pytest.raises(UsageError, match="order: one_at_a_time"):
        tabulate_forgetting(pd.DataFrame(rows))


def test_other_workloads_are_refused() -> None:
    with pytest.raises(UsageError, match="no runs of multitask"):
        list_tasks(["loss", "linear_projection_mse"])


def test_tasks_that_share_batches_unequally_are_not_in_turn() -> None:
    rows = [
        {"run": "r", "epoch": epoch, "split": split, "error.a": 1.0, "error.b": 1.0,
         "rows.a": 6.0 if epoch == 1 else 2.0, "rows.b": 2.0 if epoch == 1 else 6.0}
        for epoch in (1, 2)
        for split in ("train", "validate")
    ]  # fmt: skip
    with pytest.raises(UsageError, match="order: one_at_a_time"):
        tabulate_forgetting(pd.DataFrame(rows))


# From an experiment on disk


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two strategies, without single-task models."""
    return load(build_tasks(tmp_path_factory.mktemp("experiments"), singles=False))


@pytest.fixture(scope="module")
def with_singles(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load(build_tasks(tmp_path_factory.mktemp("experiments"), singles=True))


def tables_by_title(results: Results) -> Mapping[str, TaskTable]:
    return {table.title: table for table in make_task_tables(results)}


def test_gains_are_over_the_first_group_where_there_is_no_single_task_model(
    results: Results,
) -> None:
    over, reference = find_reference(results)
    assert over == "both"
    assert reference == pytest.approx({"a": 0.1, "b": 0.3})


def test_gains_are_over_single_task_models_where_they_are_among_the_groups(
    with_singles: Results,
) -> None:
    over, reference = find_reference(with_singles)
    assert over == SINGLE_TASK_MODELS
    assert reference == {"a": pytest.approx(0.2), "b": pytest.approx(0.3)}


def test_single_task_models_may_come_from_another_experiment(
    results: Results, with_singles: Results
) -> None:
    given = add_baselines(results, with_singles.experiment)
    assert find_reference(given)[0] == SINGLE_TASK_MODELS
    with pytest.raises(UsageError, match=r"--baselines .*tasks: no group was trained on one task"):
        add_baselines(results, results.experiment)


def test_baselines_of_an_experiment_without_tasks_are_refused(
    mixed_results: Results, with_singles: Results
) -> None:
    with pytest.raises(UsageError, match="reports no errors of several tasks"):
        add_baselines(mixed_results, with_singles.experiment)


def test_at_equal_steps_one_task_at_a_time_has_seen_half_of_the_samples(results: Results) -> None:
    followed = follow_budgets(results)
    last = followed[followed["epoch"] == 4].groupby("group", observed=True)
    assert last["steps"].first().to_list() == [40, 40]
    assert last["samples"].first().to_list() == [640, 320]


def test_budgets_are_compared_where_all_groups_have_got_to(results: Results) -> None:
    compared = compare_budgets(follow_budgets(results))
    assert compared.attrs["budgets"] == {"steps": 40, "samples": 320}
    assert compared["at_steps"].to_list() == pytest.approx([0.2, 0.3])
    # Together they had 320 samples after two of four epochs.
    assert compared["at_samples"].to_list() == pytest.approx([0.4, 0.3])


def test_a_figure_of_several_tasks_has_a_lying_box_for_each_group_and_task(
    with_singles: Results,
) -> None:
    drawings = {drawing.stem: drawing for drawing in draw_tasks(with_singles)}
    panels = drawings["task_errors"].figure.axes
    assert [ax.get_title(loc="left") for ax in panels] == ["a", "b"]
    boxes = {
        str(line.get_gid()): float(np.asarray(line.get_xdata())[0])
        for line in panels[0].lines
        if str(line.get_gid()).startswith("median")
    }
    # Single-task models of the other task have no box.
    assert boxes == {
        "median:0": pytest.approx(0.1), "median:1": pytest.approx(0.4),
        "median:2": pytest.approx(0.2),
    }  # fmt: skip
    assert [t.get_text() for t in panels[0].get_yticklabels()] == [
        "both", "in_turn", "only_a", "only_b",
    ]  # fmt: skip


@pytest.mark.parametrize("num_panels", [1, 3, 6])
def test_labels_at_the_ends_of_an_axis_stay_within_their_panel(
    with_singles: Results, num_panels: int
) -> None:
    table = make_box_table(with_singles, Metric(f"{ERROR}a", title="a"))
    table["value"] = np.resize([0.4, 0.44, 0.9, 0.91], len(table))
    figure = Figure(figsize=(3.6, 2))
    FigureCanvasAgg(figure)
    (panels,) = figure.subplots(1, num_panels, squeeze=False)
    for ax in panels:
        draw_task(ax, table, axis=with_singles.group_axis, title="a")
        labels = [label.get_window_extent() for label in ax.get_xticklabels()]
        assert labels
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(labels))
        assert ax.bbox.x0 - 1 <= labels[0].x0
        assert labels[-1].x1 <= ax.bbox.x1 + 1


def test_the_heat_map_of_gains_has_a_row_for_each_model_of_several_tasks(
    with_singles: Results,
) -> None:
    (drawing,) = (d for d in draw_tasks(with_singles) if d.stem == "task_gain")
    (ax,) = drawing.figure.axes
    shown = {t.get_gid(): t.get_text() for t in ax.texts if t.get_gid()}
    # From 0.2 to 0.1 half of the error of a is gone; b is as before: 25 % in the mean.
    assert [shown[f"cell:0:{column}"] for column in range(3)] == ["50", "0", "25"]
    assert shown["cell:1:0"] == "-100"
    assert ax.get_title(loc="left") == "gain over single-task models (%)"


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        (-4.2e-05, 80.0, "0"), (0.1, 80.0, "0.1"), (-123.4, 80.0, "-123"), (np.inf, 80.0, "×"),
        (-4.2e-05, 0.0, "-4.2e-05"), (0.003, 0.02, "0.003"),
    ],
)  # fmt: skip
def test_a_cell_says_no_more_than_its_colour_shows(value: float, limit: float, shown: str) -> None:
    assert spell_cell(value, limit=limit) == shown


def test_what_is_forgotten_is_drawn_for_the_groups_that_were_trained_in_turn(
    results: Results,
) -> None:
    drawings = {d.stem: d for d in draw_tasks(results)}
    assert drawings.keys() == {
        "task_errors", "task_gain", "forgetting_strategy=in_turn", "mean_error_by_budget",
    }  # fmt: skip
    table = drawings["forgetting_strategy=in_turn"].table.set_index("phase")
    assert table.loc["a", "a"] == pytest.approx(0.6)
    assert table.loc["b", "b"] == pytest.approx(0.2)


def test_runs_of_one_error_at_most_have_no_figure_and_no_table(mixed_results: Results) -> None:
    assert list(draw_tasks(mixed_results)) == []
    assert make_task_tables(mixed_results) == []


def test_the_report_has_errors_gains_budgets_and_what_is_forgotten(with_singles: Results) -> None:
    tables = tables_by_title(with_singles)
    assert [title.split(",")[0] for title in tables] == [
        "Error of each task", "Gain over single-task models",
        "mean error of the tasks: 1 - AUC", "What in_turn forgets",
    ]  # fmt: skip
    gains = tables["Gain over single-task models, in percent of its error"]
    assert gains.columns == ["Δm (mean)", "a", "b"]
    (label, cells), (_, worse) = gains.rows
    assert (label, [cell.text for cell in cells]) == ("both", ["25", "50", "0"])
    assert cells[0].shade > 0 > worse[0].shade
    forgets = tables["What in_turn forgets"]
    assert all(cell.shade < 0 for _, row in forgets.rows for cell in row)


@pytest.mark.parametrize("singles", [True, False])
def test_the_page_shows_the_tables(singles: bool, results: Results, with_singles: Results) -> None:
    from hpcexp.analysis.report.circumstances import Circumstances
    from hpcexp.analysis.report.content import collect_report
    from hpcexp.analysis.report.render import render_report

    experiment = (with_singles if singles else results).experiment
    page = render_report(collect_report(experiment, Circumstances(statuses={})))
    assert '<section id="tasks">' in page
    assert f"Gain over {'single-task models' if singles else 'both'}" in page
    assert 'class="number better" style="--shade:' in page or not singles
