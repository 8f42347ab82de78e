"""Learning, from runs that have ended, which early value foretells which will succeed."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpcexp.analysis.foretelling.runs import Learning, collect_runs
from hpcexp.analysis.frames import Results
from hpcexp.analysis.statistics.foretelling import (
    Threshold,
    Truth,
    Values,
    compute_auc,
    compute_aucs,
    compute_brier,
    compute_f1,
    fit_thresholds,
    forecast_many_held_out,
    predict_held_out,
    split_folds,
)
from hpcexp.errors import UsageError
from hpcexp.train.metric import Metric

INNER_FOLDS = 5
NUM_BINS = 5


@dataclass(frozen=True)
class Rule:
    """A run is foretold to fail if the value at the epoch is on the wrong side."""

    split: str
    metric: str
    epoch: int
    threshold: Threshold

    def describe(self) -> str:
        """Such as `loss (validate) above 0.05 at epoch 300`."""
        side = "above" if self.threshold.success_is_below else "below"
        return (
            f"{self.metric} ({self.split}) {side} {self.threshold.value:.5g} at epoch {self.epoch}"
        )

    def to_stop_rule(self, *, audit: float) -> dict[str, Any]:
        """As a template's `stop` wants it."""
        side = "above" if self.threshold.success_is_below else "below"
        return {
            "kind": "foretold",
            "metric": self.metric,
            "split": self.split,
            side: float(f"{self.threshold.value:.5g}"),
            "epoch": self.epoch,
            "audit": audit,
        }


@dataclass(frozen=True)
class HeldOut:
    """What rules that other runs chose, metric and epoch included, would have done to each run.

    `num_lost` are successes that they would have stopped, `num_stopped` failures.
    """

    num_successes: int
    num_failures: int
    num_lost: int
    num_stopped: int

    @property
    def f1(self) -> float:
        """Of calling a run a coming success."""
        hits = self.num_successes - self.num_lost
        called = hits + self.num_failures - self.num_stopped
        return 2 * hits / (self.num_successes + called) if hits else 0.0


@dataclass(frozen=True, eq=False)
class Foretelling:
    """What was learnt.

    `table` has a row for each split, metric and epoch: `f1` and `auc`, both of runs held out,
    `f1_all_succeed`, `threshold`, `success_is_below`. `rule` is None where none is good enough;
    then `held_out`, `calibration` and `saved` are, too. `calibration` has a row for each bin of
    foretold probabilities, `brier` is their error and `brier_base` that of the mere share of
    successes. `saved` is the share of all training that the rule would have saved.
    """

    names: tuple[str, ...]
    metric: Metric
    level: float
    num_successes: int
    num_failures: int
    table: pd.DataFrame
    rule: Rule | None
    held_out: HeldOut | None
    calibration: pd.DataFrame | None
    brier: float
    brier_base: float
    saved: float
    warnings: tuple[str, ...]


def learn_to_foretell(
    experiments: Sequence[Results],
    *,
    metrics: Sequence[str] = (),
    success_below: float | None = None,
    level: float = 0.9,
) -> Foretelling:
    """Learn from runs that came to their end, or diverged.

    `metrics` are the columns to look at (default: all), `success_below` what the primary metric
    ends below in a success (default: the workload's), `level` the F1 that a rule must have from
    its epoch on, on runs that had no say in it.
    Raises UsageError where the experiments are judged differently, a metric is unknown, or too
    few runs succeeded or failed.
    """
    metric = _find_metric(experiments, success_below)
    learning, warnings = collect_runs(experiments, metric, metrics)
    seed = zlib.crc32(" ".join(r.experiment.name for r in experiments).encode())
    table = _tabulate(learning, seed=seed)
    rule = _choose(table, level=level)
    good, bad = int(learning.truth.sum()), int((~learning.truth).sum())
    held_out = calibration = None
    brier = saved = float("nan")
    if rule is not None:
        held_out = _hold_out(learning, level=level, seed=seed)
        values = _pick(learning, rule)
        probability = predict_held_out(values, learning.truth, seed=seed)
        calibration, brier = (
            _calibrate(probability, learning.truth),
            compute_brier(probability, learning.truth),
        )
        saved = _estimate_saving(learning, rule)
        warnings += _doubt(learning, rule, held_out)
    share = good / (good + bad)
    if brier >= share * (1 - share):
        warnings.append(
            "probabilities foretold by the rule's metric are no better than the share of successes"
        )
    return Foretelling(
        names=tuple(results.experiment.name for results in experiments),
        metric=metric,
        level=level,
        num_successes=good,
        num_failures=bad,
        table=table,
        rule=rule,
        held_out=held_out,
        calibration=calibration,
        brier=brier,
        brier_base=share * (1 - share),
        saved=saved,
        warnings=tuple(warnings),
    )


def _find_metric(experiments: Sequence[Results], success_below: float | None) -> Metric:
    metric = experiments[0].metric
    for other in experiments[1:]:
        if other.metric.name != metric.name:
            raise UsageError(
                f"{other.experiment.name} is judged by {other.metric.name}, "
                f"{experiments[0].experiment.name} by {metric.name}: give experiments of one metric"
            )
    below = metric.success_below if success_below is None else success_below
    if below is None:
        raise UsageError(
            f"{experiments[0].experiment.name}: {metric.name} has no threshold of success: say "
            "with --success below which value a run has succeeded"
        )
    return dataclasses.replace(metric, success_below=below)


# ------------------------------------------------------------------------ choosing a rule


def _tabulate(learning: Learning, *, seed: int, num_folds: int | None = None) -> pd.DataFrame:
    """A row for each split, column and epoch; F1 is that of runs held out."""
    truth, places = learning.truth, list(learning.values)
    values_PR = np.concatenate([learning.values[place] for place in places])
    thresholds, below = fit_thresholds(values_PR, truth)
    forecast = forecast_many_held_out(values_PR, truth, seed=seed, num_folds=num_folds)
    num_epochs = len(learning.epochs)
    signed = np.where(below[:, None], values_PR, -values_PR)
    return pd.DataFrame(
        {
            "split": np.repeat([split for split, _ in places], num_epochs),
            "metric": np.repeat([name for _, name in places], num_epochs),
            "epoch": np.tile(learning.epochs, len(places)),
            "f1": [compute_f1(truth, one) for one in forecast],
            "f1_all_succeed": compute_f1(truth, np.ones(len(truth), bool)),
            "auc": compute_aucs(signed, truth),
            "threshold": thresholds,
            "success_is_below": below,
        }
    )


def _choose(table: pd.DataFrame, *, level: float) -> Rule | None:
    """The earliest epoch from which a metric stays at the level; of several the best there."""
    best: tuple[float, float, float] | None = None
    chosen = None
    for _, rows in table.groupby(["split", "metric"], sort=False):
        demanded = np.maximum(level, rows["f1_all_succeed"].to_numpy() + 1e-9)
        is_good = (rows["f1"].to_numpy() >= demanded) & np.isfinite(rows["threshold"].to_numpy())
        lasting = np.logical_and.accumulate(is_good[::-1])[::-1]
        if not lasting.any():
            continue
        row = rows.iloc[int(lasting.argmax())]
        key = (float(row["epoch"]), -float(row["f1"]), -float(row["auc"]))
        if best is None or key < best:
            best, chosen = key, row
    if chosen is None:
        return None
    threshold = Threshold(float(chosen["threshold"]), bool(chosen["success_is_below"]))
    return Rule(str(chosen["split"]), str(chosen["metric"]), int(chosen["epoch"]), threshold)


def _pick(learning: Learning, rule: Rule) -> Values:
    place = int(np.flatnonzero(learning.epochs == rule.epoch)[0])
    return np.asarray(learning.values[rule.split, rule.metric][place], np.float64)


def _hold_out(learning: Learning, *, level: float, seed: int) -> HeldOut:
    """The choice is made anew without each part of the runs; where none is made, none stops."""
    succeeds = np.ones(len(learning.truth), bool)
    for held_out in split_folds(learning.truth, seed=seed, num_folds=INNER_FOLDS * 2):
        others = learning.select(~held_out)
        table = _tabulate(others, seed=seed, num_folds=INNER_FOLDS)
        rule = _choose(table, level=level)
        if rule is not None:
            values = _pick(learning, rule)
            succeeds[held_out] = rule.threshold.forecast(values[held_out])
    truth = learning.truth
    return HeldOut(
        num_successes=int(truth.sum()),
        num_failures=int((~truth).sum()),
        num_lost=int((truth & ~succeeds).sum()),
        num_stopped=int((~truth & ~succeeds).sum()),
    )


def _calibrate(probability: Values, truth: Truth) -> pd.DataFrame:
    """Foretold probabilities against what came, in equal bins; without empty ones."""
    bins = np.minimum((probability * NUM_BINS).astype(int), NUM_BINS - 1)
    return pd.DataFrame(
        [
            {
                "from": number / NUM_BINS,
                "to": (number + 1) / NUM_BINS,
                "num_runs": int((bins == number).sum()),
                "foretold": float(probability[bins == number].mean()),
                "succeeded": int(truth[bins == number].sum()),
            }
            for number in range(NUM_BINS)
            if (bins == number).any()
        ]
    )


def _estimate_saving(learning: Learning, rule: Rule) -> float:
    """The share of all epochs that would not have been trained."""
    doomed = ~rule.threshold.forecast(_pick(learning, rule))
    left = np.maximum(learning.ends - rule.epoch, 0)
    return float(left[doomed].sum() / learning.ends.sum())


def _doubt(learning: Learning, rule: Rule, held_out: HeldOut) -> list[str]:
    values = _pick(learning, rule)
    signed = values if rule.threshold.success_is_below else -values
    within, weights = [], []
    for group in np.unique(learning.groups):
        members = learning.groups == group
        truth = learning.truth[members]
        if truth.any() and not truth.all():
            within.append(compute_auc(signed[members], truth))
            weights.append(int(truth.sum()) * int((~truth).sum()))
    doubts = []
    if not within:
        doubts.append(
            "in every group all runs succeeded, or none did: the rule may tell groups apart, not "
            "runs"
        )
    elif (auc := float(np.average(within, weights=weights))) < 0.75:
        doubts.append(
            f"within groups it foretells little (AUC {auc:.2f}): it tells groups apart more than "
            "runs"
        )
    if held_out.f1 < compute_f1(learning.truth, np.ones(len(learning.truth), bool)):
        doubts.append(
            "chosen without the runs it is tried on, it does no better than to call all of them "
            "successes: do not use it"
        )
    return doubts
