"""Several tasks of one model, as tables whose cells are shaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hpcexp.analysis.figures.matrix import choose_limit, spell_cell
from hpcexp.analysis.frames import Results
from hpcexp.analysis.spelling import spell_number
from hpcexp.analysis.tasks import (
    DELTA_M,
    compare_budgets,
    compute_gain,
    find_reference,
    follow_budgets,
    has_tasks,
    tabulate_errors,
    tabulate_forgetting_by_group,
)


@dataclass(frozen=True)
class Cell:
    """Text, and how strongly it is shaded, from -1 (worse) to 1 (better); 0: not at all."""

    text: str
    shade: float = 0.0


@dataclass(frozen=True)
class TaskTable:
    """A table with a heading and a note; rows are a label and cells."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    note: str


def make_task_tables(results: Results) -> list[TaskTable]:
    """Errors, gains, budgets and forgetting; none where runs report errors of one task at most."""
    if results.is_empty or not has_tasks(results):
        return []
    axis = results.group_axis
    labels = dict(zip(axis.names, axis.labels, strict=True))
    corner = axis.title or "group"
    errors = tabulate_errors(results.runs)
    errors = errors.reindex([n for n in axis.names if n in errors.index]).dropna(how="all")
    if errors.empty:
        return []
    tables = [
        TaskTable(
            "Error of each task",
            corner,
            list(errors.columns),
            _make_rows(errors, labels),
            "Medians over finished runs of 1 - AUC, or 1 - R²; × diverged.",
        ),
        *_make_gains(results, errors, labels, corner),
        *_make_budgets(results, labels, corner),
    ]
    for name, matrix in tabulate_forgetting_by_group(results).items():
        limit = choose_limit(matrix, is_signed=False)
        rows = _make_rows(matrix, {}, limit=-limit)
        tables.append(
            TaskTable(
                f"What {labels[name]} forgets",
                "after the phase of",
                list(matrix.columns),
                rows,
                "The error of each task at the end of each phase, in which one task was trained; "
                "below the diagonal stands what is forgotten. Medians over runs.",
            )
        )
    return tables


def _make_gains(
    results: Results, errors: pd.DataFrame, labels: Mapping[str, str], corner: str
) -> list[TaskTable]:
    over, reference = find_reference(results)
    gains = compute_gain(errors, reference).sort_values(DELTA_M, ascending=False, kind="stable")
    if gains.dropna(how="all").empty:
        return []
    limit = choose_limit(gains, is_signed=True)
    columns = [c for c in gains.columns if c != DELTA_M]
    ordered = gains[[DELTA_M, *columns]]
    return [
        TaskTable(
            f"Gain over {over}, in percent of its error",
            corner,
            ["Δm (mean)", *columns],
            _make_rows(ordered, labels, limit=limit),
            "Of median errors: they say nothing of chance, the verdicts above do. Tasks that "
            "nobody can learn count in the mean like all others.",
        )
    ]


def _make_budgets(results: Results, labels: Mapping[str, str], corner: str) -> list[TaskTable]:
    followed = follow_budgets(results)
    if followed.empty or followed["group"].nunique() < 2:
        return []
    compared = compare_budgets(followed)
    budgets = compared.attrs["budgets"]
    columns = [
        f"at {budgets['steps']:,.0f} steps".replace(",", " "),
        f"at {budgets['samples']:,.0f} samples".replace(",", " "),
    ]
    rows = [
        (labels[str(name)], [Cell(_spell_value(float(v))) for v in row])
        for name, row in zip(compared.index, compared.to_numpy(float), strict=True)
    ]
    return [
        TaskTable(
            f"{results.metric.title} at equal budgets",
            corner,
            columns,
            rows,
            "The largest budgets that all groups have reached; medians, between evaluations on a "
            "straight line. Samples are rows that trained a task, added up over tasks.",
        )
    ]


def _spell_value(value: float) -> str:
    """Three digits: medians that differ in the second say little."""
    return f"{value:.3f}" if 0.01 <= abs(value) < 10 else spell_number(value)


def _make_rows(
    table: pd.DataFrame, labels: Mapping[str, str], *, limit: float | None = None
) -> list[tuple[str, list[Cell]]]:
    return [
        (labels.get(str(name), str(name)), [_make_cell(float(v), limit=limit) for v in row])
        for name, row in zip(table.index, table.to_numpy(float), strict=True)
    ]


def _make_cell(value: float, *, limit: float | None) -> Cell:
    if math.isnan(value):
        return Cell("")
    if limit is None or math.isinf(value):
        return Cell(spell_cell(value))
    return Cell(spell_cell(value, limit=limit), round(max(-1.0, min(1.0, value / limit)), 2))
