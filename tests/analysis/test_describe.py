from __future__ import annotations

import math
from pathlib import Path

import pytest

from hpcexp.analysis import Results, load
from hpcexp.analysis.describe import (
    MAX_RUNS_LISTED,
    describe,
    describe_counts,
    describe_written,
    spell_number,
)
from hpcexp.analysis.summary import summarise
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment

MIXED = """\
6 of 12 runs (4 completed, 1 stopped, 1 diverged and counted as a failure)
not counted: 4 pending, 1 running, 1 failed

  linear projection MSE (validation)  n  median  [min, max]        successes (< 0.2)  [95 %]        untrained
  rnn_width=16                        4    0.23  [0.10, diverged]  2/4                [15 %, 85 %]       0.98
  rnn_width=32                        0       -                    0/0                                      -
  rnn_width=256                       2    0.95  [0.50, 1.40]      0/2                [0 %, 66 %]        0.98

diverged
  rnn_width=16_rand_3  loss is NaN

failed
  rnn_width=256_rand_3  out of memory"""  # noqa: E501


def test_a_mixed_experiment_is_described_line_by_line(mixed_results: Results) -> None:
    assert describe(mixed_results, summarise(mixed_results)) == MIXED


def test_a_finished_experiment_needs_no_second_line() -> None:
    assert describe_counts({"completed": 5, "diverged": 1, "failed": 0}) == (
        "6 of 6 runs (5 completed, 1 diverged and counted as a failure)"
    )


def test_an_experiment_of_which_nothing_is_finished_says_so() -> None:
    assert describe_counts({"completed": 0, "running": 3}) == "0 of 3 runs"


def test_hints_and_reasons_of_missing_runs_are_shown_once(tmp_path: Path) -> None:
    hint = "hpcexp retry xj_test --failed"
    experiment = build_experiment(
        tmp_path,
        {},
        rand_inits=2,
        fate=lambda run: Fate(state=State.FAILED, epoch=2, reason="out of memory", hint=hint),
    )
    experiment.run("base_rand_1").status_path.unlink()
    results = load(experiment)
    text = describe(results, summarise(results))
    assert f"-> {hint}" in text
    assert "\nmissing\n" in text
    assert text.count("base_rand_1 ") == 1


def test_long_lists_of_failed_runs_are_cut_and_counted(tmp_path: Path) -> None:
    experiment = build_experiment(
        tmp_path, {}, rand_inits=13, fate=lambda run: Fate(state=State.FAILED, epoch=1)
    )
    results = load(experiment)
    text = describe(results, summarise(results))
    assert text.count("base_rand_") == MAX_RUNS_LISTED
    assert "... and 3 more" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2149, "0.21"),
        (0.0676, "0.068"),
        (1.23e-5, "1.2e-05"),
        (12.0, "12.00"),
        (45678.0, "4.6e+04"),
        (0.0, "0.00"),
        (math.inf, "diverged"),
        (math.nan, "-"),
    ],
)
def test_numbers_are_spelled_shortly(value: float, text: str) -> None:
    assert spell_number(value) == text


def test_written_files_are_counted_by_figure() -> None:
    plots = Path("experiments/one/plots")
    stems = ("linear_projection_mse", "final_loss", "final_loss.kld")
    paths = [plots / f"{stem}.{suffix}" for stem in stems for suffix in ("pdf", "png", "csv")]
    assert describe_written(paths) == (
        "wrote plots/linear_projection_mse.pdf, .png, .csv and 2 more"
    )
    assert describe_written(paths[:3]) == "wrote plots/linear_projection_mse.pdf, .png, .csv"
    assert "nothing" in describe_written([])
