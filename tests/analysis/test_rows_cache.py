from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpcexp.analysis import load
from hpcexp.analysis.curves import average_curves, choose_window
from hpcexp.analysis.frames import Results
from hpcexp.analysis.rows_cache import keep_rows
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import metrics_path
from tests.analysis.builder import COLUMNS, MSE, Fate, build_experiment, write_run
from tests.analysis.conftest import meet_mixed_fate


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    return build_experiment(
        tmp_path, {"rnn_width": [16, 256, 32]}, rand_inits=4, fate=meet_mixed_fate
    )


def average(results: Results) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    window = choose_window(results)
    return average_curves(results, metric=MSE, split="validate", window=window).values


def look_and_keep(experiment: ExperimentDir) -> Results:
    results = load(experiment)
    average(results)
    keep_rows(results)
    return results


def find_first_run(experiment: ExperimentDir) -> RunDir:
    return experiment.run("rnn_width=16_rand_0")


def test_a_second_look_gives_the_same_and_reads_no_rows(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look_and_keep(experiment)
    monkeypatch.setattr("hpcexp.analysis.reading.read_concatenated", None)  # not to be called
    second = load(experiment)
    assert second.rows.is_kept
    pd.testing.assert_frame_equal(second.runs, first.runs)
    np.testing.assert_array_equal(average(second), average(first))
    assert second.rows.is_kept  # there was nothing to add


def test_all_rows_are_read_when_they_are_asked_for(experiment: ExperimentDir) -> None:
    first = look_and_keep(experiment)
    second = load(experiment)
    assert list(second.metrics.columns[-len(COLUMNS) :]) == list(COLUMNS)
    pd.testing.assert_frame_equal(second.metrics, first.metrics)


def test_looking_writes_nothing(experiment: ExperimentDir) -> None:
    average(load(experiment))
    assert not experiment.plots_dir.exists()


def test_rows_that_were_added_count(experiment: ExperimentDir) -> None:
    look_and_keep(experiment)
    run_dir = find_first_run(experiment)
    for path in run_dir.path.glob("metrics.*"):
        path.unlink()
    write_run(run_dir, Fate(mse=0.77), num_epochs=20)
    again = load(experiment)
    assert not again.rows.is_kept
    final = again.runs.set_index("run")[f"final.{MSE}"]
    assert final["rnn_width=16_rand_0"] == pytest.approx(0.77)


def test_a_file_of_the_same_size_with_another_time_is_read_again(
    experiment: ExperimentDir,
) -> None:
    look_and_keep(experiment)
    path = metrics_path(find_first_run(experiment).path, attempt=1)
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))
    assert not load(experiment).rows.is_kept


@pytest.mark.parametrize("damage", ["torn", "changed", "empty", "text"])
def test_a_damaged_cache_is_as_good_as_none(experiment: ExperimentDir, damage: str) -> None:
    first = look_and_keep(experiment)
    path = experiment.rows_cache_path
    content = bytearray(path.read_bytes())
    place = content.index(b"values.npy") + 400  # within the numbers
    content[place] ^= 0xFF
    damaged = {"torn": content[:-900], "changed": content, "empty": b"", "text": b"{}\n"}
    path.write_bytes(bytes(damaged[damage]))
    again = load(experiment)
    assert not again.rows.is_kept
    pd.testing.assert_frame_equal(again.runs, first.runs)


def test_metrics_that_cannot_be_read_are_not_kept(experiment: ExperimentDir) -> None:
    metrics_path(find_first_run(experiment).path, attempt=1).write_bytes(b"damaged")
    results = look_and_keep(experiment)
    assert results.problems
    assert not experiment.rows_cache_path.exists()


def test_a_longer_plan_asks_for_its_own_averages(experiment: ExperimentDir) -> None:
    """The kept means are those of the windows that they were asked for."""
    look_and_keep(experiment)
    second = load(experiment)
    window = 5
    direct = average_curves(load(experiment), metric=MSE, split="validate", window=window)
    values = average_curves(second, metric=MSE, split="validate", window=window).values
    np.testing.assert_array_equal(values, direct.values)
    assert not second.rows.is_kept  # to be written with the others
