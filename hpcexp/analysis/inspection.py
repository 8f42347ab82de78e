"""The numbers that `hpcexp eval` found, as a table of all runs and summarised by group."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hpcexp.analysis.groups import list_hyperparameters, make_group_axis
from hpcexp.analysis.summary import describe_distribution
from hpcexp.errors import HpcexpError
from hpcexp.store.status import FINISHED, State
from hpcexp.train.metric import Metric
from hpcexp.worker.inspection.evaluate import EvalReport, LookedInto

METRICS = (
    Metric("linear_projection_mse", title="linear projection MSE", cap=1.0),
    Metric("locked_projection_mse", title="MSE, height locked to z2", cap=1.0),
    Metric("dci.disentanglement", title="DCI disentanglement", cap=1.0),
    Metric("dci.completeness", title="DCI completeness", cap=1.0),
    Metric("dci.informativeness", title="DCI informativeness", cap=1.0),
    Metric("mig", title="MIG", cap=1.0),
    Metric("sap", title="SAP", cap=1.0),
    Metric("exact_pair_accuracy", title="exact pairs of unmixed images", cap=1.0),
    Metric("mean_error", title="mean error of the tasks", cap=1.0),
    Metric("accuracy", title="accuracy", cap=1.0),
)
"""What is summarised and drawn, where it was measured; tables have all numbers."""
SMALLER_IS_BETTER = frozenset({"linear_projection_mse", "locked_projection_mse", "mean_error"})
Row = dict[str, Any]

_READERS: Mapping[str, Callable[[str], Any]] = {
    "state": str,
    "experiment": str,
    "looked_at": str,
    "epoch": lambda text: int(text) if text else None,
    "step": lambda text: int(text) if text else None,
    "is_final": lambda text: text == "True",
    "is_worst": lambda text: text == "True",
    "problem": str,
}
"""Columns of every table, in this order; numbers follow."""


def make_eval_table(
    report: EvalReport, kind: str, *, earlier: Mapping[str, Row] | None = None
) -> pd.DataFrame:
    """One row per run that was asked for, now or `earlier`, in the plan's order.

    `problem` says why a run has no numbers. `is_final`: the parameters are what the run ended
    with, or of a given epoch; a run that still trains is not compared. `is_worst`: the run
    diverged, and ranks below all others whatever was measured.
    """
    plan = report.plan
    axis = make_group_axis(plan.groups)
    found = dict(earlier or {})
    found |= {looked.run.name: _describe_run(looked, kind, report) for looked in report.runs}
    values_of = {group.name: group.values for group in plan.groups}
    rows = [
        {
            "run": run.name,
            "group": run.group,
            **{
                f"params.{name}": _spell(values_of[run.group].get(name))
                for name in list_hyperparameters(plan.groups)
            },
            "rand_init": run.rand_init,
            **found[run.name],
        }
        for run in plan.runs
        if run.name in found
    ]
    table = pd.DataFrame(rows)
    numbers = table.columns[list(table.columns).index("problem") + 1 :]
    table["group"] = pd.Categorical(table["group"], categories=axis.names, ordered=True)
    return table.astype({"epoch": "Int64", "step": "Int64", **dict.fromkeys(numbers, "float64")})


def read_earlier(path: Path, report: EvalReport) -> dict[str, Row]:
    """By run what earlier calls found of it that looked at the same parameters.

    What a run had ended with before `hpcexp extend` made it longer is final no more.
    Raises HpcexpError where the table cannot be read.
    """
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not {"run", *_READERS} <= set(reader.fieldnames or ()):
                raise ValueError("it lacks columns")
            rows = list(reader)
        found = {row["run"]: _read_row(row) for row in rows}
    except OSError as error:
        raise HpcexpError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise HpcexpError(f"{path}: not a table of this version ({error})") from error
    same = (report.experiment.name, report.looked_at)
    kept = {run: r for run, r in found.items() if (r["experiment"], r["looked_at"]) == same}
    if not isinstance(report.choice.at, int):
        for extension in report.plan.extensions:
            for run, ended in extension.continued.items():
                if run in kept and (kept[run]["step"] or 0) <= ended["step"]:
                    kept[run]["is_final"] = False
    return kept


def rank_values(table: pd.DataFrame, metric: Metric) -> pd.Series[float]:
    """Values as they are compared: a diverged run has the worst of all."""
    worst = math.inf if metric.name in SMALLER_IS_BETTER else -math.inf
    return table[metric.name].mask(table["is_worst"], worst)


def list_metrics(table: pd.DataFrame) -> list[Metric]:
    """The metrics that were measured, in the order of every table and figure."""
    return [m for m in METRICS if m.name in table and table[m.name].notna().any()]


def summarise_groups(table: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """For each group medians, `n` final runs, and `not_final`, the others that were measured.

    A median is of the final runs, infinite where it falls on a diverged one; where a group has
    no final runs, of the others.
    """
    ranked = table.assign(**{metric.name: rank_values(table, metric) for metric in metrics})
    rows: list[dict[str, Any]] = []
    for name, group in ranked.groupby("group", observed=True):
        final = group[group["is_final"]]
        others = group[~group["is_final"] & group["epoch"].notna()]
        counted = final if len(final) else others
        medians = {
            metric.name: describe_distribution(counted[metric.name].dropna()).median
            for metric in metrics
        }
        row = {"group": name, "n": len(final), "not_final": len(others)}
        rows.append({**row, **medians})
    return pd.DataFrame(rows)


def _read_row(row: Mapping[str, str]) -> Row:
    """What a row says of its run besides what the plan says; empty numbers are NaN."""
    numbers = list(row)[list(row).index("problem") + 1 :]
    read = {name: convert(row[name]) for name, convert in _READERS.items()}
    return read | {name: float(row[name] or "nan") for name in numbers}


def _describe_run(looked: LookedInto, kind: str, report: EvalReport) -> Row:
    """What this call found of a run; the numbers come last."""
    numbers, at_epoch = looked.numbers.get(kind, {}), isinstance(report.choice.at, int)
    # At an epoch that it reached, a run that diverged later is as good as it was.
    is_worst = looked.state == State.DIVERGED and not (at_epoch and numbers)
    is_final = bool(numbers) and (at_epoch or looked.state in FINISHED)
    return {
        "state": looked.state.value,
        "experiment": report.experiment.name,
        "looked_at": report.looked_at,
        "epoch": looked.epoch,
        "step": looked.step,
        "is_final": is_final or is_worst,
        "is_worst": is_worst,
        "problem": looked.problem or looked.skipped,
        **numbers,
    }


def _spell(value: Any) -> Any:
    """Numbers, truth values and text as they are; a list or a mapping as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value
