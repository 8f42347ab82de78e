from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from hpcexp.analysis import Results, load
from hpcexp.analysis.describe import (
    MAX_RUNS_LISTED,
    describe,
    describe_counts,
    describe_written,
)
from hpcexp.analysis.findings import find_out
from hpcexp.analysis.spelling import spell_number
from hpcexp.analysis.summary import summarise
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment

MIXED = """\
6 of 12 runs (4 completed, 1 stopped, 1 diverged and counted as a failure)
not counted: 4 pending, 1 running, 1 failed

  linear projection MSE (validation)  n  median  [level]                  successes (< 0.2)  [95 %]        untrained
  rnn_width=16                        4    0.23  [0.10, diverged] 87.5 %  2/4                [15 %, 85 %]       0.98
  rnn_width=32                        0       -                           0/0                                      -
  rnn_width=256                       2    0.95  [0.50, 1.40] 50 %        0/2                [0 %, 66 %]        0.98

of 5 runs or fewer no interval of the median has 95 %: theirs is the whole range, with the level that it has

inconclusive  16 against 256 (p = 0.53): 5 to more than 1000 initialisations per group would decide a difference like this
also          2 pairs of equal initialisations: signed ranks p = 0.5, signs p = 0.5
also          a run of 16 is better than one of 256 with 75 % [28 %, 96 %]
unknown       256: 1 run without an outcome; whatever it would be, the median is 0.50 to 1.40, the success rate 0 % to 33 %
unknown       with them p could be from 0.26 to 1
warning       with 4 runs per group no difference can ever be significant among all 3 pairs: the smallest p is 0.086; 5 runs per group are the least
warning       5 runs have not ended (4 pending, 1 running): verdicts may change, and looking often finds differences where there are none

diverged
  rnn_width=16_rand_3  loss is NaN

failed
  rnn_width=256_rand_3  out of memory"""  # noqa: E501


def describe_all(results: Results) -> str:
    """Without what the seed, the experiment's name with its time, has drawn."""
    text = describe(results, summarise(results), find_out(results))
    return re.sub(r"\d+ to (more than 1000|\d+) init", "5 to more than 1000 init", text)


def test_a_mixed_experiment_is_described_line_by_line(mixed_results: Results) -> None:
    assert describe_all(mixed_results) == MIXED


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
    text = describe_all(results)
    assert f"-> {hint}" in text
    assert "\nmissing\n" in text
    assert text.count("base_rand_1 ") == 1


def test_long_lists_of_failed_runs_are_cut_and_counted(tmp_path: Path) -> None:
    experiment = build_experiment(
        tmp_path, {}, rand_inits=13, fate=lambda run: Fate(state=State.FAILED, epoch=1)
    )
    results = load(experiment)
    text = describe_all(results)
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
