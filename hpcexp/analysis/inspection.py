"""The numbers that `hpcexp eval` found, as a table of all runs and summarised by group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hpcexp.analysis.groups import list_hyperparameters, make_group_axis
from hpcexp.store.status import FINISHED, State
from hpcexp.train.metric import Metric
from hpcexp.worker.inspection.evaluate import EvalReport

METRICS = (
    Metric("linear_projection_mse", title="linear projection MSE", cap=1.0),
    Metric("locked_projection_mse", title="MSE, height locked to z2", cap=1.0),
    Metric("dci.disentanglement", title="DCI disentanglement", cap=1.0),
    Metric("dci.completeness", title="DCI completeness", cap=1.0),
    Metric("dci.informativeness", title="DCI informativeness", cap=1.0),
    Metric("mig", title="MIG", cap=1.0),
    Metric("sap", title="SAP", cap=1.0),
)
"""What is summarised and drawn, where it was measured; tables have all numbers."""


def make_eval_table(report: EvalReport, kind: str) -> pd.DataFrame:
    """One row per run that was asked for, in the plan's order.

    `problem` says why a run has no numbers. `is_final`: the parameters are what the run ended
    with, or of a given epoch; a run that still trains, or that diverged, is not compared.
    """
    plan = report.plan
    values_of = {group.name: group.values for group in plan.groups}
    axis = make_group_axis(plan.groups)
    names = list(dict.fromkeys(name for run in report.runs for name in run.numbers.get(kind, {})))
    at_epoch = isinstance(report.choice.at, int)
    rows: list[dict[str, Any]] = []
    for looked in report.runs:
        run, found = looked.run, looked.numbers.get(kind, {})
        is_final = looked.state != State.DIVERGED and (at_epoch or looked.state in FINISHED)
        rows.append(
            {
                "run": run.name,
                "group": run.group,
                **{
                    f"params.{name}": _spell(values_of[run.group].get(name))
                    for name in list_hyperparameters(plan.groups)
                },
                "rand_init": run.rand_init,
                "state": looked.state.value,
                "epoch": looked.epoch,
                "step": looked.step,
                "is_final": bool(found) and is_final,
                "problem": looked.problem or looked.skipped,
                **{name: found.get(name) for name in names},
            }
        )
    table = pd.DataFrame(rows)
    table["group"] = pd.Categorical(table["group"], categories=axis.names, ordered=True)
    return table.astype({"epoch": "Int64", "step": "Int64", **dict.fromkeys(names, "float64")})


def list_metrics(table: pd.DataFrame) -> list[Metric]:
    """The metrics that were measured, in the order of every table and figure."""
    return [m for m in METRICS if m.name in table and table[m.name].notna().any()]


def summarise_groups(table: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """For each group medians, `n` final runs, and `not_final`, the others that were measured.

    A median is of the final runs; where a group has none, of the others.
    """
    rows: list[dict[str, Any]] = []
    for name, group in table.groupby("group", observed=True):
        measured = group[group["epoch"].notna()]
        final = measured[measured["is_final"]]
        counted = final if len(final) else measured
        medians = {metric.name: counted[metric.name].median() for metric in metrics}
        row = {"group": name, "n": len(final), "not_final": len(measured) - len(final)}
        rows.append({**row, **medians})
    return pd.DataFrame(rows)


def _spell(value: Any) -> Any:
    """Numbers, truth values and text as they are; a list or a mapping as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value
