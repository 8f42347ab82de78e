"""An experiment as two tidy frames: one row per run, one row per run, epoch and split.

Their columns are described in docs/metrics.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpcexp.analysis.groups import GroupAxis, list_hyperparameters, make_group_axis
from hpcexp.analysis.reading import Recorded, read_recorded
from hpcexp.analysis.rows import Rows, find_validations
from hpcexp.site import find_experiments_dir
from hpcexp.store.experiment import Plan
from hpcexp.store.find import find_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import SPLITS, MetricsTable
from hpcexp.store.status import CUT_SHORT, FINISHED, RunStatus, State
from hpcexp.train.metric import Metric

MISSING = "missing"
"""State of a run whose directory does not say how it ended, or not with which metrics."""

STILL_TRAINING = CUT_SHORT | {State.PENDING, State.SUBMITTED, State.RUNNING}
"""States whose newest value is a value so far: the run has not ended, or may continue."""


@dataclass(frozen=True, eq=False)
class Results:
    """All that an experiment has recorded so far.

    `metric` is the one by which runs are judged. `problems` names the runs that cannot be
    read, and why. `baselines` are errors of single-task models, by task, from elsewhere.
    """

    experiment: ExperimentDir
    plan: Plan
    metric: Metric
    runs: pd.DataFrame
    rows: Rows
    problems: tuple[str, ...]
    baselines: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def group_axis(self) -> GroupAxis:
        """The groups in the order of every table and figure."""
        return make_group_axis(self.plan.groups)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row for each run, epoch and split; read when it is asked for the first time."""
        return self.rows.frame

    @property
    def is_empty(self) -> bool:
        """Whether no run has recorded anything yet."""
        return self.rows.max_epoch is None

    def __repr__(self) -> str:
        return f"Results({self.experiment.name}: {self.describe()})"

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        from hpcexp.analysis.html import render_results

        return render_results(self)

    def describe(self) -> str:
        """`4 groups, 24 runs (23 completed, 1 diverged)`."""
        states = self.runs["state"].value_counts()
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        return f"{len(self.plan.groups)} groups, {len(self.runs)} runs ({counts})"


def load(
    experiment: str | Path | ExperimentDir, *, experiments_dir: str | Path | None = None
) -> Results:
    """Everything that an experiment has recorded, also while it trains.

    `experiment` is a path, also of an archive, `latest`, or part of a name; `experiments_dir` is
    where names are looked up (default: as `hpcexp site` says, else `experiments`).
    Raises UsageError where there is no such experiment, HpcexpError where it is damaged.
    """
    if not isinstance(experiment, ExperimentDir):
        directory = find_experiments_dir() if experiments_dir is None else Path(experiments_dir)
        found = find_experiment(str(experiment), experiments_dir=directory, archives=True)
        experiment = found.experiment
    return make_results(experiment, read_recorded(experiment))


def make_results(experiment: ExperimentDir, recorded: Recorded) -> Results:
    """Frames of what was read."""
    plan, metric = recorded.plan, Metric(**recorded.plan.primary_metric)
    runs = _make_runs(recorded, metric, make_group_axis(plan.groups))
    named = {i: f"{plan.runs[i].name}: {text}" for i, text in recorded.problems.items()}
    lacking = {
        i: f"{name}: {reason}"
        for i, (name, state, reason) in enumerate(
            zip(runs["run"], runs["state"], runs["reason"], strict=True)
        )
        if state == MISSING
    }
    problems = tuple(text for _, text in sorted((lacking | named).items()))
    rows = Rows(
        table=recorded.table,
        run_index=recorded.run_index,
        max_epoch=recorded.max_epoch,
        make_frame=lambda: _make_metrics(plan, *recorded.read_all()),
        averages=recorded.averages,
        fingerprint=recorded.fingerprint,
        is_kept=recorded.is_kept,
    )
    return Results(experiment, plan, metric, runs, rows, problems)


# ------------------------------------------------------------------- one row per run


def _make_runs(recorded: Recorded, metric: Metric, axis: GroupAxis) -> pd.DataFrame:
    planned = recorded.plan.runs
    values_of = {group.name: group.values for group in recorded.plan.groups}
    statuses = [status or RunStatus() for status in recorded.statuses]
    first, last = find_validations(recorded.table, recorded.run_index, num_runs=len(planned))
    states = _judge_states(recorded, has_values=last >= 0)
    untrained_rows = _keep_untrained(recorded.table, first)
    names = _list_validated(recorded.table, metric, np.concatenate([first, last]))
    untrained = {name: _pick(recorded.table, name, untrained_rows) for name in names}
    latest = {name: _pick(recorded.table, name, last) for name in names}
    final = {
        name: _make_final(
            latest[name], states, was_defined=~np.isnan(_pick(recorded.table, name, first))
        )
        for name in names
    }
    columns: dict[str, Any] = {
        "run": [run.name for run in planned],
        "group": pd.Categorical([r.group for r in planned], categories=axis.names, ordered=True),
        "rand_init": [run.rand_init for run in planned],
        **{
            f"params.{name}": _make_param_column([values_of[r.group].get(name) for r in planned])
            for name in list_hyperparameters(recorded.plan.groups)
        },
        "state": states,
        "reason": _explain_states(recorded, states),
        "hint": [status.hint for status in statuses],
        "epoch": [status.epoch for status in statuses],
        "num_epochs": [status.num_epochs for status in statuses],
        "step": [status.step for status in statuses],
        "num_steps": [status.num_steps for status in statuses],
        "trained_s": np.array([status.trained_s for status in statuses], np.float64),
        "is_censored": [status.is_censored for status in statuses],
        "foretold_epoch": pd.array(
            [_get(status.foretold, "epoch") for status in statuses], dtype="Int64"
        ),
        "is_audited": [bool(_get(status.foretold, "is_audited")) for status in statuses],
        "success": _judge_success(final[metric.name], metric),
        **{f"final.{name}": values for name, values in final.items()},
        **{f"latest.{name}": values for name, values in latest.items()},
        **{f"untrained.{name}": values for name, values in untrained.items()},
    }
    return pd.DataFrame(columns)


def _get(foretold: Mapping[str, Any] | None, key: str) -> Any:
    return None if foretold is None else foretold[key]


def _keep_untrained(table: MetricsTable, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows in `first` that were measured before training; -1 for the others."""
    kept = first.copy()
    kept[first >= 0] = np.where(table.epoch[first[first >= 0]] == 0, first[first >= 0], -1)
    return kept


def _judge_states(recorded: Recorded, *, has_values: NDArray[np.bool_]) -> list[str]:
    """States as recorded, but `missing` for a run that claims an end and shows no values."""
    return [
        MISSING
        if status is None
        or (status.is_finished and status.state != State.DIVERGED and not has_value)
        else status.state.value
        for status, has_value in zip(recorded.statuses, has_values, strict=True)
    ]


def _explain_states(recorded: Recorded, states: Sequence[str]) -> list[str]:
    return [
        _explain_missing(status, recorded.problems.get(i, ""))
        if state == MISSING or status is None
        else status.reason
        for i, (status, state) in enumerate(zip(recorded.statuses, states, strict=True))
    ]


def _explain_missing(status: RunStatus | None, problem: str) -> str:
    if status is None:
        return problem
    return f"{status.state}, but " + (problem or "no validation was recorded")


def _list_validated(
    table: MetricsTable, metric: Metric, rows: NDArray[np.int64]
) -> tuple[str, ...]:
    """The metrics that validation reports; the others are NaN in all of its rows."""
    found = [name for name in table.columns if not np.isnan(_pick(table, name, rows)).all()]
    return tuple(dict.fromkeys((*found, metric.name)))


def _pick(table: MetricsTable, name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of a metric in some rows; NaN where the row is -1 or the metric is unknown."""
    values = np.full(len(rows), np.nan)
    if name in table.columns:
        values[rows >= 0] = table.column(name)[rows[rows >= 0]]
    return values


def _make_final(
    latest: NDArray[np.float64], states: Sequence[str], *, was_defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Final values, (runs,): infinite, the worst, for a diverged run; NaN for an unfinished one.

    A value that became NaN is infinite as well; one that was never recorded stays NaN.
    """
    is_final = np.array([state in FINISHED for state in states], bool)
    is_diverged = np.array([state == State.DIVERGED for state in states], bool)
    ranked = np.where(np.isnan(latest) & was_defined, np.inf, latest)
    return np.where(is_diverged, np.inf, np.where(is_final, ranked, np.nan))


def _judge_success(final: NDArray[np.float64], metric: Metric) -> pd.Series[Any]:
    if metric.success_below is None:
        return pd.Series([pd.NA] * len(final), dtype="boolean")
    success = pd.Series(final < metric.success_below, dtype="boolean")
    return success.mask(np.isnan(final))


def _make_param_column(values: Sequence[Any]) -> pd.Series[Any]:
    """Numbers, truth values and text as they are; what cannot be grouped by is made so."""
    frozen = [_freeze(value) for value in values]
    if any(isinstance(value, tuple) for value in frozen):
        return pd.Series(frozen, dtype=object)
    return pd.Series(frozen)


def _freeze(value: Any) -> Any:
    if isinstance(value, Mapping):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    return value


# ---------------------------------------------------- one row per run, epoch and split


def _make_metrics(plan: Plan, table: MetricsTable, index: NDArray[np.int32]) -> pd.DataFrame:
    """Columns are the table's own arrays where they can be: there may be gigabytes."""
    planned, axis = plan.runs, make_group_axis(plan.groups)
    places = {name: place for place, name in enumerate(axis.names)}
    group_codes = np.array([places[run.group] for run in planned], np.int16)
    rand_inits = np.array([run.rand_init for run in planned], np.int32)
    columns: dict[str, Any] = {
        "run": pd.Categorical.from_codes(index, categories=pd.Index([r.name for r in planned])),
        "group": pd.Categorical.from_codes(
            group_codes[index], categories=pd.Index(axis.names), ordered=True
        ),
        "rand_init": rand_inits[index],
        "epoch": table.epoch,
        "step": table.step,
        "split": pd.Categorical.from_codes(table.split, categories=pd.Index(SPLITS)),
        **{name: table.column(name) for name in table.columns},
    }
    return pd.DataFrame(columns, copy=False)
