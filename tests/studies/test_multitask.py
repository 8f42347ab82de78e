from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.multitask import (
    compute_gain,
    draw_matrix,
    find_baselines,
    list_tasks,
    tabulate_affinity,
    tabulate_errors,
    tabulate_forgetting,
)
from hpcexp.errors import UsageError

PROJECT_DIR = Path(__file__).parents[2]
SCRIPT = PROJECT_DIR / "analysis" / "multitask.py"
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
    with pytest.raises(UsageError, match="trained on one task alone; give --baselines"):
        find_baselines(tabulate_errors(RUNS[:3]))


def test_a_gain_is_the_part_of_the_single_task_error_that_is_gone() -> None:
    errors = tabulate_errors(RUNS)
    gain = compute_gain(errors, find_baselines(errors))
    assert list(gain.index) == ["both"]
    assert list(gain.loc["both"]) == pytest.approx([50.0, -50.0, 0.0])


def test_affinities_are_means_over_evaluations_of_all_runs() -> None:
    names = [f"affinity.{i}.{j}" for i in "ab" for j in "ab"]
    metrics = pd.DataFrame([[1.0, 2, 3, 4], [3.0, 2, 1, 0], [99.0] * 4], columns=names)
    metrics["split"] = ["validate", "validate", "train"]
    table = tabulate_affinity(metrics)
    assert list(table.loc["a"]) == [2, 2]
    assert table.loc["b", "a"] == 2
    with pytest.raises(UsageError, match=r"affinity: \{measure: true\}"):
        tabulate_affinity(metrics[["split"]])


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


def test_a_matrix_is_drawn_with_its_numbers_in_their_places() -> None:
    table = pd.DataFrame([[1.0, -2.0], [NAN, 0.5]], index=["a", "b"], columns=["x", "y"])
    drawing = draw_matrix(table, stem="m", title="t", footnote="f", is_signed=True)
    (ax,) = drawing.figure.axes
    shown = {(t.get_position()[0], t.get_position()[1]): t.get_text() for t in ax.texts}
    assert {k: v for k, v in shown.items() if v in ("1", "-2", "0.5")} == {
        (0, 0): "1", (1, 0): "-2", (1, 1): "0.5",
    }  # fmt: skip
    assert ax.images[0].get_clim() == (-2, 2)


def test_other_workloads_are_refused() -> None:
    with pytest.raises(UsageError, match="no runs of multitask"):
        list_tasks(["loss", "linear_projection_mse"])


def test_the_script_answers_of_a_trained_experiment(tmp_path: Path) -> None:
    environment = {**os.environ, "HPCEXP_EXPERIMENTS_DIR": str(tmp_path)}
    template = PROJECT_DIR / "templates" / "multitask" / "affinity.yaml"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=PROJECT_DIR, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "hpcexp", "launch", str(template), "--profile", "smoke", "--local")
    said = run(str(SCRIPT), "affinity", "latest", "--models", "2")
    assert "the best groups for 2 models" in said
    assert "multitask_affinity.png" in said
    assert "multitask_errors.csv" in run(str(SCRIPT), "errors", "latest")
