from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from hpcexp.analysis.frames import load
from hpcexp.analysis.sampled import SampleTable, find_trends, make_sample_table
from hpcexp.analysis.sampled.trends import AxisTrend, measure_parabola
from hpcexp.analysis.statistics.verdicts import Verdict
from hpcexp.store.experiment import PlannedRun, read_plan, write_plan
from hpcexp.store.status import State
from tests.analysis.builder import Fate
from tests.analysis.sampling import build_sampled


def find(table: SampleTable) -> dict[str, AxisTrend]:
    found = find_trends(table, generator=np.random.default_rng(0))
    return {trend.axis: trend for trend in found}


def test_an_axis_that_is_best_in_the_middle_matters_though_it_has_no_correlation(
    table: SampleTable,
) -> None:
    trend = find(table)["lr"]
    assert abs(trend.rho) < 0.2
    assert (trend.shape, trend.verdict) == ("bends up", Verdict.SUPPORTED)
    low, high = trend.best
    assert 1e-4 < low < 1e-3 < high < 1e-2


def test_the_level_is_held_over_all_axes(table: SampleTable) -> None:
    trends = find(table)
    assert list(trends) == ["lr", "rnn_width", "optimizer", "weight_decay"]
    assert trends["lr"].adjusted_p == pytest.approx(4 * trends["lr"].p)


def test_levels_have_no_direction_and_an_axis_counts_only_where_it_is_there(
    table: SampleTable,
) -> None:
    trends = find(table)
    assert trends["optimizer"].shape == "differs"
    assert trends["optimizer"].verdict is Verdict.INCONCLUSIVE
    assert trends["weight_decay"].num_samples == 32 < trends["lr"].num_samples == 64


def test_a_line_has_the_correlation_of_scipy() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    rho, bend, p = measure_parabola(x, y, generator=rng)
    assert rho == pytest.approx(spearmanr(x, y).statistic)
    assert abs(bend) < rho**2
    assert p == pytest.approx(1 / 5000)


def test_noise_is_found_significant_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(2)
    p_values = [
        measure_parabola(rng.normal(size=12), rng.normal(size=12), generator=rng)[2]
        for _ in range(120)
    ]
    assert sum(p <= 0.05 for p in p_values) <= 14  # binomial: more with a chance of 0.1 %
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.1)


def test_what_does_not_vary_has_no_trend() -> None:
    rho, _, p = measure_parabola(np.arange(9.0), np.ones(9), generator=np.random.default_rng(0))
    assert math.isnan(rho)
    assert p == 1


def test_diverged_samples_are_the_worst(tmp_path: Path) -> None:
    axes: dict[str, Any] = {"lr": {"uniform": [0.1, 1]}}

    def fate(_: PlannedRun, mse: float) -> Fate:
        return Fate(mse=0.2, state=State.DIVERGED if mse > 0.5 else State.COMPLETED)

    experiment = build_sampled(
        tmp_path, count=16, axes=axes, score=lambda v: float(v["lr"]), noise=0, fate=fate
    )
    trend = find(make_sample_table(load(experiment)))["lr"]
    assert (trend.shape, trend.verdict) == ("rises", Verdict.SUPPORTED)


def test_only_samples_that_no_result_chose_are_tested(tmp_path: Path) -> None:
    experiment = build_sampled(tmp_path, count=16)
    plan = read_plan(experiment)
    searched = {**plan.sample, "method": "tpe", "start": 8}
    write_plan(experiment, dataclasses.replace(plan, sample=searched))
    trends = find(make_sample_table(load(experiment)))
    assert {trend.num_samples for trend in trends.values() if trend.axis == "lr"} == {8}


def test_a_handful_of_samples_is_not_tested(tmp_path: Path) -> None:
    assert find(make_sample_table(load(build_sampled(tmp_path, count=5)))) == {}
