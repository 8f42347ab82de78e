from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpcexp.analysis import Results, load
from hpcexp.analysis.curves import (
    Curves,
    average_curves,
    choose_window,
    find_ends,
    join_frames,
    take_median,
)
from tests.analysis.builder import MSE, build_experiment


def make_curves(values: list[list[float]], *, diverged: list[bool]) -> Curves:
    array = np.array(values, np.float64)
    names = np.array([f"run_{i}" for i in range(len(values))])
    return Curves(
        "loss",
        "train",
        window=1,
        epoch=np.arange(array.shape[1], dtype=np.float64),
        values=array,
        runs=names,
        group=np.full(len(values), "base"),
        is_diverged=np.array(diverged),
    )


NAN = float("nan")


def test_the_window_is_about_one_per_cent_of_the_epochs(tmp_path: Path) -> None:
    assert choose_window(load(build_experiment(tmp_path, {}, rand_inits=1))) == 1
    long = build_experiment(tmp_path, {}, rand_inits=1, num_epochs=400)
    assert choose_window(load(long)) == 4


def test_every_point_is_the_mean_of_its_window(mixed_results: Results) -> None:
    curves = average_curves(mixed_results, metric="loss", split="train", window=7)
    frame = mixed_results.metrics
    one = frame[(frame["run"] == "rnn_width=16_rand_0") & (frame["split"] == "train")]
    values = one.set_index("epoch")["loss"].astype(float)
    np.testing.assert_allclose(
        curves.values[list(curves.runs).index("rnn_width=16_rand_0")],
        [
            NAN,
            values.loc[1:7].mean(),
            values.loc[8:14].mean(),
            values.loc[15:20].mean(),
        ],
    )
    assert list(curves.epoch) == [0, 4, 11, 18]


def test_the_value_before_training_stands_alone(mixed_results: Results) -> None:
    curves = average_curves(mixed_results, metric=MSE, split="validate", window=5)
    np.testing.assert_allclose(curves.values[:, 0], 0.98, rtol=1e-6)


def test_a_window_of_one_epoch_keeps_every_value(mixed_results: Results) -> None:
    curves = average_curves(mixed_results, metric=MSE, split="validate", window=1)
    frame = mixed_results.metrics
    recorded = frame.loc[(frame["split"] == "validate"), MSE].astype(float)
    np.testing.assert_allclose(np.sort(curves.values[~np.isnan(curves.values)]), np.sort(recorded))
    assert list(curves.epoch) == list(range(21))


def test_values_that_are_not_finite_are_left_out() -> None:
    curves = make_curves([[1, 2, NAN]], diverged=[False])
    assert list(find_ends(curves)) == [1]


def test_a_metric_that_nobody_recorded_has_no_curves(mixed_results: Results) -> None:
    assert average_curves(mixed_results, metric="no_such", split="train", window=1).is_empty
    assert average_curves(mixed_results, metric=MSE, split="train", window=1).is_empty


def test_the_median_is_over_the_runs_that_got_there_while_half_of_them_did() -> None:
    curves = make_curves(
        [[1, 1, 1, 1], [2, 2, 2, NAN], [6, 6, NAN, NAN]], diverged=[False, False, False]
    )
    np.testing.assert_allclose(take_median(curves), [2, 2, 1.5, NAN])


def test_a_diverged_run_is_the_worst_from_where_it_ends() -> None:
    curves = make_curves([[1, 1, 1], [2, 2, 2], [0, NAN, NAN]], diverged=[False, False, True])
    np.testing.assert_allclose(take_median(curves), [1, 2, 2])


def test_the_median_of_one_run_is_that_run_and_of_none_is_nothing() -> None:
    curves = make_curves([[3, 4]], diverged=[False])
    np.testing.assert_allclose(take_median(curves), [3, 4])
    assert np.isnan(take_median(curves.select("no such group"))).all()


def test_the_table_of_curves_holds_every_point_with_its_hyperparameters(
    mixed_results: Results,
) -> None:
    curves = average_curves(mixed_results, metric=MSE, split="validate", window=5)
    table = join_frames([curves, curves], mixed_results)
    assert len(table) == 2 * np.isfinite(curves.values).sum()
    assert table["value"].notna().all()
    assert set(table["params.rnn_width"]) == {16, 256}


@pytest.mark.parametrize("eval_every", [3, 50])
def test_rare_validations_leave_gaps_not_zeros(tmp_path: Path, eval_every: int) -> None:
    experiment = build_experiment(tmp_path, {}, rand_inits=2, eval_every=eval_every)
    curves = average_curves(load(experiment), metric=MSE, split="validate", window=1)
    recorded = sorted({*range(0, 21, eval_every), 20})
    assert np.flatnonzero(~np.isnan(curves.values[0])).tolist() == recorded
