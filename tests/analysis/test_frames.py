from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpcexp.analysis import Results, load
from hpcexp.analysis.frames import MISSING
from hpcexp.errors import UsageError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import metrics_path
from hpcexp.store.status import RunStatus, State, write_status
from tests.analysis.builder import COLUMNS, MSE, UNTRAINED_MSE, Fate, build_experiment
from tests.analysis.conftest import MIXED_FATES


def run_of(results: Results, name: str) -> dict[Any, Any]:
    (row,) = results.runs[results.runs["run"] == name].to_dict("records")
    return row


def test_there_is_one_row_per_planned_run_in_the_order_of_the_plan(mixed_results: Results) -> None:
    assert list(mixed_results.runs["run"]) == [run.name for run in mixed_results.plan.runs]
    assert list(mixed_results.runs["run"]) == list(MIXED_FATES)


def test_groups_are_ordered_categories(mixed_results: Results) -> None:
    categories = ["rnn_width=16", "rnn_width=32", "rnn_width=256"]
    for frame in (mixed_results.runs, mixed_results.metrics):
        assert list(frame["group"].cat.categories) == categories
        assert frame["group"].cat.ordered


def test_hyperparameters_of_the_grid_are_columns(mixed_results: Results) -> None:
    assert list(mixed_results.runs["params.rnn_width"]) == [16] * 4 + [256] * 4 + [32] * 4


def test_the_final_value_is_the_last_validation(mixed_results: Results) -> None:
    run = run_of(mixed_results, "rnn_width=16_rand_1")
    assert run[f"final.{MSE}"] == pytest.approx(0.15)
    rows = mixed_results.metrics.query("run == 'rnn_width=16_rand_1' and split == 'validate'")
    assert run[f"final.{MSE}"] == rows[MSE].iloc[-1]
    assert run["final.loss"] == rows["loss"].iloc[-1]


@pytest.mark.parametrize("name", ["rnn_width=256_rand_2", "rnn_width=256_rand_3"])
def test_an_unfinished_run_has_a_latest_value_but_no_final_one(
    mixed_results: Results, name: str
) -> None:
    run = run_of(mixed_results, name)
    assert math.isnan(run[f"final.{MSE}"])
    assert pd.isna(run["success"])
    assert run[f"latest.{MSE}"] == pytest.approx(MIXED_FATES[name].mse)


def test_a_diverged_run_is_a_failure_of_the_worst_rank(mixed_results: Results) -> None:
    run = run_of(mixed_results, "rnn_width=16_rand_3")
    assert run[f"latest.{MSE}"] == pytest.approx(0.05)  # below the threshold before it diverged
    assert run[f"final.{MSE}"] == math.inf
    assert run["final.loss"] == math.inf
    assert not run["success"]


def test_success_is_a_final_value_below_the_threshold(mixed_results: Results) -> None:
    assert mixed_results.runs["success"].dtype == "boolean"
    successful = mixed_results.runs.loc[mixed_results.runs["success"].fillna(False), "run"]
    assert list(successful) == ["rnn_width=16_rand_0", "rnn_width=16_rand_1"]


def test_values_before_training_are_known(mixed_results: Results) -> None:
    started = mixed_results.runs[mixed_results.runs["state"] != State.PENDING]
    assert np.allclose(started[f"untrained.{MSE}"], UNTRAINED_MSE)
    pending = mixed_results.runs[mixed_results.runs["state"] == State.PENDING]
    assert pending[f"untrained.{MSE}"].isna().all()


def test_metrics_of_the_training_set_only_have_no_final_value(mixed_results: Results) -> None:
    assert "final.grad_norm" not in mixed_results.runs
    assert "final.loss.predict.image" in mixed_results.runs


def test_metrics_have_one_row_per_run_epoch_and_split(mixed_results: Results) -> None:
    frame = mixed_results.metrics
    assert not frame.duplicated(["run", "epoch", "split"]).any()
    of_run = frame[frame["run"] == "rnn_width=256_rand_2"]  # 9 epochs, and epoch 0
    assert of_run["split"].value_counts().to_dict() == {"validate": 10, "train": 9}
    assert (of_run["rand_init"] == 2).all()
    assert (of_run["step"] == 8 * of_run["epoch"]).all()


def test_columns_and_types_of_metrics(mixed_results: Results) -> None:
    fixed = ["run", "group", "rand_init", "epoch", "step", "split"]
    assert list(mixed_results.metrics) == [*fixed, *COLUMNS]
    assert (mixed_results.metrics[list(COLUMNS)].dtypes == np.float32).all()
    assert [str(mixed_results.metrics[name].dtype) for name in fixed] == [
        *("category", "category"),
        *("int32", "int32", "int64"),
        "category",
    ]


def test_nothing_is_wrong_with_runs_that_have_not_begun(mixed_results: Results) -> None:
    assert mixed_results.problems == ()


def test_a_run_whose_directory_is_gone_is_missing_and_named(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, rand_inits=2)
    experiment.run("lr=0.1_rand_1").path.rename(tmp_path / "elsewhere")
    results = load(experiment)
    assert list(results.runs["state"]) == ["completed", MISSING]
    (problem,) = results.problems
    assert problem.startswith("lr=0.1_rand_1: ")


@pytest.mark.parametrize("content", ["{", '{"state": "dreaming"}', "[]", '{"state": null}'])
def test_a_run_with_a_damaged_status_is_missing_and_named(tmp_path: Path, content: str) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, rand_inits=2)
    experiment.run("lr=0.1_rand_0").status_path.write_text(content)
    results = load(experiment)
    assert list(results.runs["state"]) == [MISSING, "completed"]
    assert results.runs["success"].isna().tolist() == [True, False]
    (problem,) = results.problems
    assert "status.json" in problem


def test_a_run_with_damaged_metrics_is_missing_and_the_others_are_read(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, rand_inits=3)
    path = metrics_path(experiment.run("lr=0.1_rand_1").path, attempt=1)
    path.write_bytes(b"no such header\n" + path.read_bytes())
    results = load(experiment)
    assert list(results.runs["state"]) == ["completed", MISSING, "completed"]
    assert list(results.runs[f"final.{MSE}"].isna()) == [False, True, False]
    (problem,) = results.problems
    assert "lr=0.1_rand_1" in problem
    assert "damaged" in problem


def test_a_run_that_ended_without_any_validation_is_missing(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, fate=lambda _: Fate(state=State.PENDING))
    write_status(experiment.run("lr=0.1_rand_0"), RunStatus(state=State.COMPLETED))
    results = load(experiment)
    assert results.runs.loc[0, "state"] == MISSING
    assert "no validation was recorded" in results.problems[0]


def test_a_value_that_became_undefined_is_the_worst_not_left_out(tmp_path: Path) -> None:
    experiment = build_experiment(
        tmp_path, {"lr": [0.1]}, rand_inits=1, fate=lambda _: Fate(extra={MSE: math.nan})
    )
    run = run_of(load(experiment), "lr=0.1_rand_0")
    assert run[f"final.{MSE}"] == math.inf
    assert not run["success"]


def test_an_experiment_without_records_gives_empty_frames(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, fate=lambda _: Fate(state=State.PENDING))
    results = load(experiment)
    assert results.is_empty
    assert len(results.runs) == 3
    assert results.runs[f"final.{MSE}"].isna().all()


def test_lists_in_the_grid_become_tuples_that_can_be_grouped_by(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {
        "vae_channels": [[16, 32], [64, 128]],
        "symmetry": [{"kind": "trivial"}],
    }
    results = load(build_experiment(tmp_path, grid, rand_inits=1))
    assert list(results.runs["params.vae_channels"]) == [(16, 32), (64, 128)]
    assert results.runs.groupby("params.vae_channels").ngroups == 2
    assert list(results.runs["params.symmetry"]) == ['{"kind": "trivial"}'] * 2


def test_experiments_are_found_by_path_name_and_latest(
    mixed_experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = mixed_experiment.path.parent
    for results in (
        load(mixed_experiment.path),
        load(str(mixed_experiment.path)),
        load("latest", experiments_dir=directory),
        load("xj_te", experiments_dir=str(directory)),
    ):
        assert results.experiment.name == mixed_experiment.name
    monkeypatch.setenv("HPCEXP_EXPERIMENTS_DIR", str(directory))
    assert load("latest").experiment.name == mixed_experiment.name


def test_an_unknown_experiment_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no experiments"):
        load("latest", experiments_dir=tmp_path)


def test_a_notebook_shows_a_few_lines_with_escaped_text(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, question="is a < b?")
    shown = load(experiment)._repr_html_()
    assert "is a &lt; b?" in shown
    assert "3 completed" in shown
    assert len(shown) < 600
