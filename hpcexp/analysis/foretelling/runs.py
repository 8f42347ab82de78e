"""The runs that foretelling learns from: those whose end is known, and their early values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpcexp.analysis.frames import Results
from hpcexp.analysis.statistics.foretelling import Truth, Values
from hpcexp.errors import UsageError
from hpcexp.store.status import State
from hpcexp.train.metric import Metric

MIN_OF_EACH = 4
FEW_OF_EACH = 10
MAX_EPOCHS = 30
_NEVER = ("schedule.", "skipped_steps")
_LEARNT_FROM = (State.COMPLETED, State.DIVERGED)

Place = tuple[str, str]
"""A split and a column."""


@dataclass(frozen=True, eq=False)
class Learning:
    """The runs to learn from. `values` are (epochs, runs), by split and column; all of them end."""

    truth: Truth
    groups: NDArray[np.str_]
    ends: NDArray[np.int64]
    epochs: NDArray[np.int64]
    values: Mapping[Place, Values]

    def select(self, chosen: Truth) -> Learning:
        """Some of the runs."""
        values = {place: found[:, chosen] for place, found in self.values.items()}
        return Learning(
            self.truth[chosen], self.groups[chosen], self.ends[chosen], self.epochs, values
        )


def collect_runs(
    experiments: Sequence[Results], metric: Metric, wanted: Sequence[str]
) -> tuple[Learning, list[str]]:
    """The runs of all experiments together, and warnings.

    Raises UsageError where a column of `wanted` is unknown, or too few runs succeeded or failed.
    """
    frames: list[pd.DataFrame] = []
    warnings: list[str] = []
    num_stopped = 0
    for number, results in enumerate(experiments):
        runs = results.runs
        num_stopped += int((runs["state"] == State.STOPPED).sum())
        ended = runs["state"].isin([str(s) for s in _LEARNT_FROM])
        final = runs[f"final.{metric.name}"]
        kept = runs[ended & final.notna()]
        frames.append(
            pd.DataFrame(
                {
                    "run": [f"{number}/{name}" for name in kept["run"]],
                    "group": [f"{number}/{name}" for name in kept["group"]],
                    "truth": (final[kept.index] < metric.success_below).to_numpy(bool),
                    "diverged": (kept["state"] == State.DIVERGED).to_numpy(bool),
                    "end": kept["epoch"].to_numpy(np.int64),
                }
            )
        )
    judged = pd.concat(frames, ignore_index=True)
    truth = judged["truth"].to_numpy(bool)
    good, bad = int(truth.sum()), int((~truth).sum())
    if min(good, bad) < MIN_OF_EACH:
        raise UsageError(
            f"{good} of {good + bad} runs with an outcome succeeded ({metric.name} < "
            f"{metric.success_below:g}): at least {MIN_OF_EACH} successes and {MIN_OF_EACH} "
            "failures are needed to foretell anything; give more experiments, or another --success"
        )
    if min(good, bad) < FEW_OF_EACH:
        warnings.append(
            f"only {good} successes and {bad} failures: how often the rule is wrong is hardly known"
        )
    if num_stopped:
        warnings.append(
            f"{num_stopped} runs that a rule had stopped were left out: how they would have ended "
            "is not known, and what is left may not be like all runs"
        )
    ends = judged.loc[~judged["diverged"], "end"]
    if ends.nunique() > 1:
        warnings.append(
            f"the runs were trained for {ends.min()} to {ends.max()} epochs: an epoch of the rule "
            "may mean different things"
        )
    epochs, values = _collect_values(experiments, judged, wanted)
    learning = Learning(
        truth,
        judged["group"].to_numpy(np.str_),
        judged["end"].to_numpy(np.int64),
        epochs,
        values,
    )
    return learning, warnings


def _collect_values(
    experiments: Sequence[Results], judged: pd.DataFrame, wanted: Sequence[str]
) -> tuple[NDArray[np.int64], dict[Place, Values]]:
    """Values by split and column, (epochs, runs), at epochs that every run reached."""
    rows = pd.concat(
        [
            results.metrics.assign(run=f"{number}/" + results.metrics["run"].astype(str))
            for number, results in enumerate(experiments)
        ],
        ignore_index=True,
    )
    rows = rows[rows["run"].isin(judged["run"]) & (rows["epoch"] > 0)]
    columns = [str(c) for c in rows.columns[6:] if not str(c).startswith(_NEVER)]
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise UsageError(
            f"no such metric: {', '.join(unknown)}; there are: {', '.join(sorted(columns))}"
        )
    whole = set(judged.loc[~judged["diverged"], "run"])
    validated = rows[(rows["split"] == "validate") & rows["run"].isin(whole)]
    counts = validated.groupby("epoch")["run"].nunique()
    epochs = np.sort(counts.index[counts == len(whole)].to_numpy(np.int64))[:-1]
    if not len(epochs):
        raise UsageError(
            "there is no epoch, but for the last, at which every run was validated: nothing can be "
            "foretold from these runs together"
        )
    chosen = epochs[np.unique(np.linspace(0, len(epochs) - 1, MAX_EPOCHS).round().astype(int))]
    rows = rows[rows["epoch"].isin(chosen)]
    values: dict[Place, Values] = {}
    for split in ("validate", "train"):
        of_split = rows[rows["split"] == split].drop_duplicates(["run", "epoch"], keep="last")
        for name in wanted or columns:
            table = of_split.pivot(index="epoch", columns="run", values=name)
            found = table.reindex(index=chosen, columns=judged["run"]).to_numpy(np.float64)
            alive = ~judged["diverged"].to_numpy(bool)
            if not np.isnan(found[:, alive]).all(axis=None):
                values[split, name] = found
    return chosen, values
