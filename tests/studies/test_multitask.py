from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.multitask import draw_matrix, tabulate_affinity
from hpcexp.errors import UsageError
from tests.warm.process import run_warm

PROJECT_DIR = Path(__file__).parents[2]
SCRIPT = PROJECT_DIR / "analysis" / "multitask.py"
NAN = float("nan")


def test_affinities_are_means_over_evaluations_of_all_runs() -> None:
    names = [f"affinity.{i}.{j}" for i in "ab" for j in "ab"]
    metrics = pd.DataFrame([[1.0, 2, 3, 4], [3.0, 2, 1, 0], [99.0] * 4], columns=names)
    metrics["split"] = ["validate", "validate", "train"]
    table = tabulate_affinity(metrics)
    assert list(table.loc["a"]) == [2, 2]
    assert table.loc["b", "a"] == 2
    with pytest.raises(UsageError, match=r"affinity: \{measure: true\}"):
        tabulate_affinity(metrics[["split"]])


def test_a_matrix_is_drawn_with_its_numbers_in_their_places() -> None:
    table = pd.DataFrame([[1.0, -2.0], [NAN, 0.5]], index=["a", "b"], columns=["x", "y"])
    drawing = draw_matrix(table, stem="m", title="t", footnote="f", is_signed=True)
    (ax,) = drawing.figure.axes
    shown = {(t.get_position()[0], t.get_position()[1]): t.get_text() for t in ax.texts}
    assert {k: v for k, v in shown.items() if v in ("1", "-2", "0.5")} == {
        (0, 0): "1", (1, 0): "-2", (1, 1): "0.5",
    }  # fmt: skip
    assert ax.images[0].get_clim() == (-2, 2)


def test_the_script_answers_of_a_trained_experiment(tmp_path: Path) -> None:
    environment = {**os.environ, "HPCEXP_EXPERIMENTS_DIR": str(tmp_path)}
    template = PROJECT_DIR / "templates" / "multitask" / "affinity.yaml"

    def run(*arguments: str) -> str:
        done = run_warm([sys.executable, *arguments], cwd=PROJECT_DIR, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "hpcexp", "launch", str(template), "--profile", "smoke", "--local")
    said = run(str(SCRIPT), "affinity", "latest", "--models", "2")
    assert "the best groups for 2 models" in said
    assert "multitask_affinity.png" in said
    assert "multitask_errors.csv" in run(str(SCRIPT), "errors", "latest")
