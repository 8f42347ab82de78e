"""Several tasks of one model, as tables: errors, gains, what is forgotten, what it costs.

A task is what has a column `error.TASK`; columns `rows.TASK` count the rows that trained it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpcexp.analysis.frames import Results, load
from hpcexp.errors import UsageError
from hpcexp.grid import GROUP
from hpcexp.store.layout import ExperimentDir

ERROR = "error."
ROWS = "rows."
DELTA_M = "delta_m"
SINGLE_TASK_MODELS = "single-task models"
_MIN_TASKS = 2


def list_tasks(columns: Sequence[str], *, prefix: str = ERROR) -> list[str]:
    """The tasks whose errors are among the columns.

    Raises UsageError where there are none.
    """
    tasks = [c.removeprefix(prefix) for c in columns if c.startswith(prefix)]
    if not tasks:
        raise UsageError("these are no runs of multitask: there is no error.TASK among the metrics")
    return tasks


def has_tasks(results: Results) -> bool:
    """Whether runs report errors of several tasks."""
    found = [str(c) for c in results.runs if str(c).startswith(f"final.{ERROR}")]
    return len(found) >= _MIN_TASKS


def tabulate_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """The median final error of each group (rows) in each task (columns).

    NaN where a task is not trained or no run has finished, infinite where the median diverged.
    """
    tasks = list_tasks(list(runs.columns), prefix=f"final.{ERROR}")
    columns = [f"final.{ERROR}{task}" for task in tasks]
    table = runs.groupby("group", observed=True)[columns].median()
    return table.set_axis(tasks, axis=1)


def find_baselines(errors: pd.DataFrame) -> dict[str, float]:
    """The error of each task's single-task model: of a group that has this error alone.

    Raises UsageError where there is no such group.
    """
    alone = errors[errors.notna().sum(axis=1) == 1]
    baselines = alone.min()
    found = {str(task): float(value) for task, value in baselines.items() if not np.isnan(value)}
    if not found:
        raise UsageError(
            "no group was trained on one task alone and has finished; baselines are runs of "
            "templates/multitask/approach_2_single_task.yaml"
        )
    return found


def add_baselines(results: Results, other: ExperimentDir | None) -> Results:
    """The results with the errors of another experiment's single-task models, if one is given.

    Raises UsageError where either has no tasks, or the other no single-task model.
    """
    if other is None:
        return results
    if not results.is_empty and not has_tasks(results):
        raise UsageError(
            f"--baselines: {results.experiment.name} reports no errors of several tasks"
        )
    errors = tabulate_errors(load(other).runs)
    try:
        found = find_baselines(errors)
    except UsageError as error:
        raise UsageError(f"--baselines {other.name}: {error}") from error
    return replace(results, baselines=found)


def find_reference(results: Results) -> tuple[str, dict[str, float]]:
    """What gains are over, and its error of each task.

    Single-task models, given or among the groups; else the template's baseline, or its first
    group, by its label.
    """
    errors = tabulate_errors(results.runs)
    if results.baselines:
        return SINGLE_TASK_MODELS, dict(results.baselines)
    if (errors.notna().sum(axis=1) == 1).any():
        return SINGLE_TASK_MODELS, find_baselines(errors)
    axis = results.group_axis
    groups, baseline = results.plan.groups, results.plan.comparison.get("baseline")
    named = [g.name for g in groups if baseline in (g.name, g.values.get(GROUP))]
    name = named[0] if named else groups[0].name
    label = dict(zip(axis.names, axis.labels, strict=True)).get(name, name)
    found = errors[errors.index == name]
    values = zip(found.columns, found.to_numpy(float).flatten(), strict=bool(len(found)))
    return label, {str(task): float(value) for task, value in values if not np.isnan(value)}


def compute_gain(errors: pd.DataFrame, baselines: Mapping[str, float]) -> pd.DataFrame:
    """Relative gains in percent over the baselines, and their mean `delta_m`.

    Groups of one task are left out. Source: Maninis, Radosavovic & Kokkinos 2019, equation 4,
    of errors: positive is better than the single-task model.
    """
    several = errors[errors.notna().sum(axis=1) > 1]
    tasks = [task for task in errors.columns if baselines.get(task)]
    base = pd.Series({task: baselines[task] for task in tasks}, dtype=float)
    gains = 100 * (base - several[tasks]) / base
    return gains.assign(**{DELTA_M: gains.mean(axis=1)})


def tabulate_forgetting(metrics: pd.DataFrame) -> pd.DataFrame:
    """The error of each task (columns) at the end of each phase (rows, by its task).

    The median over runs of one group; a phase is a stretch of epochs in which one task had most
    of the rows. Raises UsageError where no run was trained one task at a time.
    """
    tasks = list_tasks([str(c) for c in metrics.columns])
    shares = [f"{ROWS}{task}" for task in tasks if f"{ROWS}{task}" in metrics]
    matrices = []
    for _, run in metrics.groupby("run", observed=True):
        trained = run[run["split"] == "train"].set_index("epoch")[shares].dropna(how="all")
        validated = run[run["split"] == "validate"].set_index("epoch")
        if trained.empty or not _is_in_turn(trained):
            continue
        phase = trained.set_axis([c.removeprefix(ROWS) for c in shares], axis=1).idxmax(axis=1)
        last = phase[phase != phase.shift(-1)]
        if last.duplicated().any() or len(last) < _MIN_TASKS:
            continue
        epochs = [e for e in last.index if e in validated.index]
        matrix = validated.loc[epochs, [f"{ERROR}{task}" for task in tasks]]
        matrices.append(matrix.set_axis(last[epochs], axis=0).set_axis(tasks, axis=1))
    if not matrices:
        raise UsageError("no run was trained one task at a time; train with order: one_at_a_time")
    return pd.concat(matrices).groupby(level=0, sort=False).median()


def _is_in_turn(rows: pd.DataFrame) -> bool:
    """Whether tasks came one after the other, by the rows of each (columns) in each epoch.

    An epoch may hold the end of one phase and the beginning of the next; the last holds one task.
    """
    num_trained = (rows > 0).sum(axis=1)
    return bool((num_trained <= 2).all() and num_trained.iloc[-1] == 1)


def tabulate_forgetting_by_group(results: Results) -> dict[str, pd.DataFrame]:
    """The matrices of the groups that have one, by the group's name."""
    found = {}
    for name in results.group_axis.names:
        of_group = results.metrics[results.metrics["group"] == name]
        try:
            found[name] = tabulate_forgetting(of_group)
        except UsageError:
            continue
    return found


def follow_budgets(results: Results) -> pd.DataFrame:
    """The primary metric of every run over what it had cost: a row for each evaluation.

    `steps` are optimiser steps; `samples` add up, over all tasks, the rows that trained each.
    Empty where rows were not recorded.
    """
    metrics, name = results.metrics, results.metric.name
    shares = [str(c) for c in metrics.columns if str(c).startswith(ROWS)]
    if not shares or name not in metrics:
        return pd.DataFrame()
    is_train = metrics["split"] == "train"
    keys = ["run", "group", "epoch", "step"]
    trained = metrics.loc[is_train, keys].assign(rows=metrics.loc[is_train, shares].sum(axis=1))
    trained = trained.sort_values(["run", "epoch"])
    # Rows are means over the steps of an epoch.
    steps = trained.groupby("run", observed=True)["step"].diff().fillna(trained["step"])
    trained["samples"] = (steps * trained["rows"]).groupby(trained["run"], observed=True).cumsum()
    validated = metrics.loc[metrics["split"] == "validate", [*keys, name]].dropna(subset=[name])
    table = validated.merge(trained[["run", "epoch", "samples"]], on=["run", "epoch"], how="left")
    table.loc[table["epoch"] == 0, "samples"] = 0.0
    table = table.rename(columns={"step": "steps", name: "value"}).dropna(subset=["samples"])
    return table[["run", "group", "epoch", "steps", "samples", "value"]]


def compare_budgets(followed: pd.DataFrame) -> pd.DataFrame:
    """The median of each group at the largest budget that every group has reached.

    Columns `at_steps` and `at_samples`, linear between evaluations; the budgets themselves are
    in `attrs`. Runs count that have got so far.
    """
    columns, budgets = {}, {}
    for budget in ("steps", "samples"):
        last = followed.groupby(["group", "run"], observed=True)[budget].max()
        common = float(last.groupby("group", observed=True).median().min())
        reached = {
            run: _interpolate(rows, budget=budget, at=common)
            for (_, run), rows in followed.groupby(["group", "run"], observed=True)
            if rows[budget].max() >= common
        }
        values = pd.Series(reached, dtype=float)
        groups = followed.drop_duplicates("run").set_index("run")["group"]
        columns[f"at_{budget}"] = values.groupby(
            groups.reindex(values.index), observed=True
        ).median()
        budgets[budget] = common
    table = pd.DataFrame(columns)
    table.attrs["budgets"] = budgets
    return table


def _interpolate(rows: pd.DataFrame, *, budget: str, at: float) -> float:
    ordered = rows.sort_values(budget)
    x: NDArray[np.float64] = ordered[budget].to_numpy(float)
    return float(np.interp(at, x, ordered["value"].to_numpy(float)))
