"""Foretelling success from one early value of each run: thresholds, and how well they do.

A forecast is judged on runs that had no say in it: the threshold is chosen by the others.
Values are (runs,) float arrays, NaN where a run had diverged by then; `truth` is (runs,) and
True for a success.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Truth = NDArray[np.bool_]

MAX_LEAVE_ONE_OUT = 20
NUM_FOLDS = 10


@dataclass(frozen=True)
class Threshold:
    """A run is called a coming success on one side of `value`; infinite: all are, or none."""

    value: float
    success_is_below: bool = True

    def forecast(self, values: Values) -> Truth:
        """What it says of runs, (runs,); NaN is never a success."""
        with np.errstate(invalid="ignore"):
            below = values < self.value if self.success_is_below else values > self.value
        return np.asarray(below & ~np.isnan(values), bool)


def compute_f1(truth: Truth, forecast: Truth) -> float:
    """Harmonic mean of precision and recall of the positives; 0 without a true positive."""
    hits = int((truth & forecast).sum())
    return 2 * hits / (int(truth.sum()) + int(forecast.sum())) if hits else 0.0


def compute_auc(values: Values, truth: Truth) -> float:
    """The chance that a success has a lower value than a failure, ties counting one half.

    NaN counts as worse than any number. NaN where there are no successes, or no failures.
    """
    return float(compute_aucs(values[None], truth)[0])


def compute_aucs(values_PR: Values, truth: Truth) -> Values:
    """`compute_auc` of many predictors, (predictors, runs), at once."""
    from scipy.stats import rankdata

    num_good, num_bad = int(truth.sum()), int((~truth).sum())
    if not num_good or not num_bad:
        return np.full(len(values_PR), np.nan)
    ranks = rankdata(np.where(np.isnan(values_PR), np.inf, values_PR), axis=1)
    above = ranks[:, ~truth].sum(axis=1) - num_bad * (num_bad + 1) / 2
    return np.asarray(above / (num_good * num_bad), np.float64)


def fit_threshold(values: Values, truth: Truth) -> Threshold:
    """The threshold with the best F1 on the side on which successes lie; of several the middle.

    Candidates are the midpoints between neighbouring values, and `all succeed`.
    """
    thresholds, below = fit_thresholds(values[None], truth)
    return Threshold(float(thresholds[0]), bool(below[0]))


def fit_thresholds(values_PR: Values, truth: Truth) -> tuple[Values, Truth]:
    """`fit_threshold` of many predictors, (predictors, runs): thresholds and their sides."""
    below = ~(compute_aucs(values_PR, truth) < 0.5)
    sign = np.where(below, 1.0, -1.0)
    return sign * _find_best(sign[:, None] * values_PR, truth), below


def forecast_many(values_PR: Values, thresholds: Values, below: Truth) -> Truth:
    """What `Threshold.forecast` says, for many predictors at once."""
    sign = np.where(below, 1.0, -1.0)[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(sign * values_PR < sign * thresholds[:, None], bool)


def _find_best(values_PR: Values, truth: Truth) -> Values:
    """By one pass over sorted values: below the k-th lie k runs, and so many successes."""
    num_predictors, num_runs = values_PR.shape
    finite = np.isfinite(values_PR)
    order = np.argsort(np.where(finite, values_PR, np.inf), axis=1, kind="stable")
    last = np.full((num_predictors, 1), np.inf)
    ordered = np.where(finite, values_PR, np.inf)
    ordered = np.concatenate([np.take_along_axis(ordered, order, axis=1), last], axis=1)
    hits = np.cumsum(truth[order], axis=1)
    scores = 2 * hits / (int(truth.sum()) + np.arange(1, num_runs + 1))
    # Rounded: a hair's breadth must not choose between equal scores.
    scores = np.where(ordered[:, :-1] < ordered[:, 1:], np.round(scores, 12), -1.0)
    best = scores == scores.max(axis=1, keepdims=True)
    middle = best.sum(axis=1, keepdims=True) // 2 + 1
    chosen = (np.cumsum(best, axis=1) == middle).argmax(axis=1)
    rows = np.arange(num_predictors)
    low, high = ordered[rows, chosen], ordered[rows, chosen + 1]
    return np.asarray(np.where(np.isinf(high), np.inf, (low + high) / 2), np.float64)


def split_folds(truth: Truth, *, seed: int, num_folds: int | None = None) -> Iterator[Truth]:
    """Which runs are held out, (runs,), in turn: one by one if there are few, else in ten parts.

    Successes and failures are spread evenly over the parts.
    """
    n = len(truth)
    count = num_folds or (n if n <= MAX_LEAVE_ONE_OUT else NUM_FOLDS)
    shuffled = np.random.default_rng(seed).permutation(n)
    order = shuffled[np.argsort(truth[shuffled], kind="stable")]
    part = np.empty(n, np.int64)
    part[order] = np.arange(n) % count
    for number in range(min(count, n)):
        yield part == number


def forecast_held_out(values: Values, truth: Truth, *, seed: int = 0) -> Truth:
    """For each run, (runs,), what the threshold that other runs chose says of it."""
    return np.asarray(forecast_many_held_out(values[None], truth, seed=seed)[0], bool)


def forecast_many_held_out(
    values_PR: Values, truth: Truth, *, seed: int = 0, num_folds: int | None = None
) -> Truth:
    """`forecast_held_out` of many predictors at once, (predictors, runs)."""
    forecast = np.zeros(values_PR.shape, bool)
    for held_out in split_folds(truth, seed=seed, num_folds=num_folds):
        thresholds, below = fit_thresholds(values_PR[:, ~held_out], truth[~held_out])
        forecast[:, held_out] = forecast_many(values_PR[:, held_out], thresholds, below)
    return forecast


def predict_held_out(values: Values, truth: Truth, *, seed: int = 0) -> Values:
    """The probability of success of each run, (runs,), by a logistic regression on the others.

    On the logarithm where all values are positive; a diverged run has 0.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(values)
    positive = bool((values[known] > 0).all())
    x = np.log(np.where(known, values, 1.0)) if positive else np.where(known, values, 0.0)
    probability = np.zeros(len(values))
    for held_out in split_folds(truth, seed=seed):
        learnt = ~held_out & known
        asked = held_out & known
        if not asked.any():
            continue
        if len(np.unique(truth[learnt])) < 2:
            probability[asked] = truth[learnt].mean() if learnt.any() else 0.5
            continue
        centre, scale = x[learnt].mean(), x[learnt].std() or 1.0
        model = LogisticRegression(C=10.0)
        model.fit(((x[learnt] - centre) / scale)[:, None], truth[learnt])
        found = model.predict_proba(((x[asked] - centre) / scale)[:, None])
        probability[asked] = found[:, 1]
    return probability


def compute_brier(probability: Values, truth: Truth) -> float:
    """Mean squared error of probabilities; 0 is perfect.

    Source: Brier 1950, Verification of forecasts expressed in terms of probability.
    """
    return float(((probability - truth) ** 2).mean())
