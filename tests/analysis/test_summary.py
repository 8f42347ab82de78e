from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpcexp.analysis import Results
from hpcexp.analysis.statistics.proportions import wilson_interval
from hpcexp.analysis.summary import (
    STATES,
    describe_distribution,
    measure_success,
    summarise,
)
from hpcexp.train.metric import Metric

finite = st.floats(min_value=-1e6, max_value=1e6)


@given(st.lists(finite, min_size=1, max_size=40))
def test_quantiles_of_finite_values_are_those_of_numpy(values: list[float]) -> None:
    found = describe_distribution(values)
    expected = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    measured = [found.min, found.lower_quartile, found.median, found.upper_quartile, found.max]
    np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([0.1, 0.2, math.inf], 0.2),
        ([0.1, math.inf, math.inf], math.inf),
        ([0.1, math.inf], math.inf),  # half of the runs
        ([0.1, 0.2, 0.4, math.inf], pytest.approx(0.3)),
        ([math.inf, math.inf], math.inf),
    ],
)
def test_a_diverged_run_has_the_worst_rank(values: list[float], median: float) -> None:
    assert describe_distribution(values).median == median


def test_no_values_have_no_quantiles() -> None:
    found = describe_distribution([])
    assert found.n == 0
    assert math.isnan(found.median)


@given(st.integers(1, 200), st.data())
def test_the_interval_is_the_one_of_scipy(num_trials: int, data: st.DataObject) -> None:
    num_successes = data.draw(st.integers(0, num_trials))
    oracle = stats.binomtest(num_successes, num_trials).proportion_ci(method="wilson")
    found = wilson_interval(num_successes, num_trials)
    np.testing.assert_allclose(found, (oracle.low, oracle.high), atol=1e-12)


def test_an_interval_of_no_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="0 successes of 0 trials"):
        wilson_interval(0, 0)


def test_success_means_below_not_at_the_threshold() -> None:
    assert measure_success([0.19, 0.2, math.inf], below=0.2).num_successes == 1


def test_states_of_every_group_are_counted_and_add_up(mixed_results: Results) -> None:
    first, second, third = summarise(mixed_results).groups
    counted = [{s: n for s, n in group.states.items() if n} for group in (first, second, third)]
    assert counted == [
        {"completed": 3, "diverged": 1},
        {"pending": 4},
        {"completed": 1, "stopped": 1, "running": 1, "failed": 1},
    ]
    assert [group.num_planned for group in (first, second, third)] == [4, 4, 4]


def test_finished_runs_are_those_with_a_final_value(mixed_results: Results) -> None:
    summary = summarise(mixed_results)
    assert [group.final.n for group in summary.groups] == [4, 0, 2]
    assert (summary.num_finished, summary.num_planned) == (6, 12)


def test_a_group_is_summarised_by_rank_and_success(mixed_results: Results) -> None:
    group = summarise(mixed_results).groups[0]
    assert group.final.median == pytest.approx((0.15 + 0.3) / 2)
    assert group.final.max == math.inf
    assert group.success is not None
    assert (group.success.num_successes, group.success.num_trials) == (2, 4)
    assert group.untrained_median == pytest.approx(0.98)


def test_a_metric_without_a_threshold_has_no_success(mixed_results: Results) -> None:
    groups = summarise(mixed_results, metric=Metric("loss", title="loss")).groups
    assert all(group.success is None for group in groups)


def test_the_frame_has_one_row_per_group_and_a_column_per_state(mixed_results: Results) -> None:
    frame = summarise(mixed_results).to_frame()
    assert list(frame["group"]) == ["rnn_width=16", "rnn_width=32", "rnn_width=256"]
    assert {f"num_{state}" for state in STATES} <= set(frame)
    assert frame["success_rate"].isna().tolist() == [False, True, False]
