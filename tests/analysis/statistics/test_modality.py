from __future__ import annotations

import math

import numpy as np
import pytest

from hpcexp.analysis.statistics.groups import estimate_group
from hpcexp.analysis.statistics.modality import find_modes
from tests.analysis.notebook import read_values


def count_modes(values: object) -> list[int]:
    return [mode.num_runs for mode in find_modes(values)]  # type: ignore[arg-type]


def test_success_and_failure_are_two_kinds() -> None:
    wide, narrow = read_values("xj_rnn_width")
    modes = find_modes(wide)
    assert [mode.num_runs for mode in modes] == [4, 4]
    assert [round(mode.median, 2) for mode in modes] == [0.18, 0.50]
    assert count_modes(narrow) == [8]
    assert count_modes(read_values("18@01_37_34_max_epoch")[1]) == [6, 6]


def test_success_failure_and_collapse_are_three() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(m, 0.02, 6) for m in (0.15, 0.5, 0.99)])
    assert count_modes(values) == [6, 6, 6]


def test_diverged_runs_are_a_kind_of_their_own() -> None:
    assert count_modes([0.1, 0.12, 0.11, math.inf, math.inf]) == [3, 2]
    assert count_modes([math.inf] * 3) == [3]


def test_one_run_apart_is_no_kind_of_outcome() -> None:
    assert count_modes([0.1, 0.12, 0.11, 0.13, 0.12, 0.9]) == [6]


@pytest.mark.parametrize("shape", ["normal", "lognormal"])
def test_values_of_one_kind_are_rarely_taken_for_two(shape: str) -> None:
    random = np.random.default_rng(7)
    draw = getattr(random, shape)
    found = sum(len(find_modes(draw(size=8) + 0.0)) > 1 for _ in range(1000))
    assert found <= 20


def test_values_that_are_all_equal_are_one_kind() -> None:
    assert count_modes([0.3] * 9) == [9]
    assert count_modes([]) == []


def test_a_group_of_two_kinds_has_no_mean() -> None:
    bimodal = estimate_group(read_values("xj_rnn_width")[0], success_below=0.2)
    assert bimodal.is_bimodal
    assert bimodal.mean is None
    plain = estimate_group([0.2, 0.3, 0.25, 0.28])
    assert plain.mean == pytest.approx(0.2575)
    assert not plain.is_bimodal


def test_unknown_runs_are_shown_at_their_best_and_worst() -> None:
    found = estimate_group([0.1, 0.3, 0.5], success_below=0.2, num_unknown=2)
    assert found.n == 3
    assert found.median_cases is not None
    assert (found.median_cases.best, found.median_cases.worst) == (0.1, 0.5)
    assert found.rate_cases is not None
    assert (found.rate_cases.best, found.rate_cases.worst) == (3 / 5, 1 / 5)
    assert estimate_group([0.1]).median_cases is None
    nothing_good = estimate_group([math.inf], num_unknown=1).median_cases
    assert nothing_good is not None
    assert math.isnan(nothing_good.best)


def test_a_group_without_outcomes_has_no_numbers() -> None:
    found = estimate_group([], success_below=0.2, num_unknown=1)
    assert math.isnan(found.median)
    assert found.median_interval is None
    assert found.success is not None
    assert found.success.interval is None
