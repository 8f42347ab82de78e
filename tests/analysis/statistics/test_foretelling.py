from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from hpcexp.analysis.statistics.foretelling import (
    Threshold,
    compute_auc,
    compute_brier,
    compute_f1,
    fit_threshold,
    fit_thresholds,
    forecast_held_out,
    forecast_many,
    predict_held_out,
    split_folds,
)

TRUTH = np.array([True, True, True, False, False])


def test_f1_and_auc_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        truth, forecast = random.uniform(size=(2, 12)) < 0.5
        values = random.integers(0, 5, size=12).astype(float)  # with ties
        if truth.all() or not truth.any():
            continue
        assert compute_f1(truth, forecast) == pytest.approx(
            f1_score(truth, forecast, zero_division=0)
        )
        assert compute_auc(values, truth) == pytest.approx(roc_auc_score(truth, -values))


def test_the_threshold_lies_midway_between_what_it_separates() -> None:
    assert fit_threshold(np.array([0.1, 0.2, 0.3, 0.7, 0.9]), TRUTH) == Threshold(0.5)


def test_successes_may_lie_above() -> None:
    fitted = fit_threshold(np.array([0.9, 0.8, 0.7, 0.3, 0.1]), TRUTH)
    assert fitted == Threshold(0.5, success_is_below=False)
    assert fitted.forecast(np.array([0.6, 0.4, np.nan])).tolist() == [True, False, False]


def test_no_other_threshold_has_a_better_f1() -> None:
    random = np.random.default_rng(1)
    for _ in range(30):
        values, truth = random.normal(size=15).round(1), random.uniform(size=15) < 0.4
        fitted = fit_threshold(values, truth)
        side = 1 if fitted.success_is_below else -1
        cuts = [*np.unique(side * values), np.inf]
        best = max(compute_f1(truth, side * values < cut) for cut in cuts)
        assert compute_f1(truth, fitted.forecast(values)) == pytest.approx(best)


def test_a_diverged_run_is_never_called_a_success() -> None:
    values = np.array([0.1, 0.2, 0.3, np.nan, np.nan])
    assert fit_threshold(values, TRUTH) == Threshold(float("inf"))
    assert Threshold(float("inf")).forecast(values).tolist() == TRUTH.tolist()


def test_many_predictors_at_once_are_each_of_them_alone() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=(40, 17)).round(1)
    values[random.uniform(size=values.shape) < 0.1] = np.nan
    truth = random.uniform(size=17) < 0.5
    thresholds, below = fit_thresholds(values, truth)
    forecast = forecast_many(values, thresholds, below)
    for place, row in enumerate(values):
        alone = fit_threshold(row, truth)
        assert (alone.value, alone.success_is_below) == (thresholds[place], below[place])
        assert alone.forecast(row).tolist() == forecast[place].tolist()


@pytest.mark.parametrize("num_runs", [7, 20, 21, 95])
def test_every_run_is_held_out_once(num_runs: int) -> None:
    truth = np.arange(num_runs) % 3 == 0
    parts = np.array(list(split_folds(truth, seed=0)))
    assert (parts.sum(axis=0) == 1).all()
    assert len(parts) == (num_runs if num_runs <= 20 else 10)


def test_a_run_has_no_say_in_its_own_forecast() -> None:
    """Noise looks foretold where the threshold is fitted, and not where runs are held out."""
    random = np.random.default_rng(3)
    fitted, held_out = [], []
    for _ in range(200):
        values, truth = random.normal(size=12), np.arange(12) % 2 == 0
        fitted.append((fit_threshold(values, truth).forecast(values) == truth).mean())
        held_out.append((forecast_held_out(values, truth) == truth).mean())
    assert np.mean(fitted) > 0.6
    assert np.mean(held_out) < 0.55


def test_foretold_probabilities_are_of_the_others_and_hold_on_average() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=400)
    truth = random.uniform(size=400) < 1 / (1 + np.exp(2 * x))
    probability = predict_held_out(np.exp(x), truth)
    for low in (0.0, 0.25, 0.5, 0.75):
        chosen = (probability >= low) & (probability < low + 0.25)
        assert truth[chosen].mean() == pytest.approx(probability[chosen].mean(), abs=0.12)
    assert compute_brier(probability, truth) < truth.mean() * (1 - truth.mean())


def test_a_run_that_diverged_before_has_no_chance() -> None:
    values = np.array([0.1, 0.2, 0.15, 0.9, np.nan, 0.8])
    truth = np.array([True, True, True, False, False, False])
    assert predict_held_out(values, truth)[4] == 0
