"""What `hpcexp eval` measured, by group: a panel for each metric, a box for each group."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.boxplot import describe_groups, draw_boxplot
from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.page import LARGE, PNG_DPI, SMALL, wrap
from hpcexp.analysis.groups import GroupAxis, make_group_axis
from hpcexp.analysis.inspection import list_metrics, rank_values
from hpcexp.train.metric import Metric
from hpcexp.worker.inspection.evaluate import EvalReport

_PANEL_HEIGHT = 1.55  # inches
_MARGIN = 0.9
_MAX_WIDTH_FOR_TWO = 6.0


def draw_eval(report: EvalReport, table: pd.DataFrame, *, kind: str) -> Drawing | None:
    """The figure of a table of `make_eval_table`; None where nothing was measured."""
    metrics = list_metrics(table)
    if not metrics:
        return None
    axis = make_group_axis(report.plan.groups)
    figure, panels = _make_panels(table, metrics, axis)
    for metric, (ax, is_lowest) in zip(metrics, panels, strict=True):
        draw_panel(ax, table, axis=axis, metric=metric, is_labelled=is_lowest)
    width = figure.get_figwidth() - 0.2
    figure.suptitle(
        wrap(report.plan.question or report.plan.name, width=width, fontsize=LARGE),
        fontsize=LARGE,
        x=0.01,
        ha="left",
    )
    footnote = wrap(_explain(report, table), width=width, fontsize=SMALL)
    figure.supxlabel(footnote, fontsize=SMALL, x=0.01, ha="left", color=style.GREY)
    return Drawing(report.directory.table_path(kind).stem, figure, table)


def draw_panel(
    ax: Axes, table: pd.DataFrame, *, axis: GroupAxis, metric: Metric, is_labelled: bool
) -> Axes:
    """Boxes and points of one metric; the groups' labels only where they are wanted."""
    draw_boxplot(ax, table.assign(value=rank_values(table, metric)), axis=axis, metric=metric)
    ax.set_title(metric.title, loc="left", fontsize=8.5)
    ax.set_ylabel("")
    if not is_labelled:
        ax.set_xticklabels([])
        ax.set_xlabel("")
    return ax


def _make_panels(
    table: pd.DataFrame, metrics: Sequence[Metric], axis: GroupAxis
) -> tuple[Figure, list[tuple[Axes, bool]]]:
    """Axes column by column, and whether each is the lowest of its column."""
    ranked = table.assign(value=rank_values(table, metrics[0]))
    notes = describe_groups(ranked, axis=axis, metric=metrics[0])
    width = style.choose_axes_width(axis, notes)
    num_columns = 2 if len(metrics) > 3 and width <= _MAX_WIDTH_FOR_TWO else 1
    num_rows = -(-len(metrics) // num_columns)
    size = (num_columns * (width + 0.5), num_rows * (_PANEL_HEIGHT + 0.35) + _MARGIN)
    figure = Figure(figsize=size, dpi=PNG_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    places = [(row, column) for column in range(num_columns) for row in range(num_rows)]
    num_unused = len(places) - len(metrics)
    # The last column is filled from below: labels stand in the lowest row alone.
    unused = [(row, num_columns - 1) for row in range(num_unused)]
    for row, column in unused:
        grid[row][column].remove()
    return figure, [(grid[r][c], r == num_rows - 1) for r, c in places if (r, c) not in unused]


def _explain(report: EvalReport, table: pd.DataFrame) -> str:
    at = report.choice
    chosen = f"epoch {at.at}" if isinstance(at.at, int) else f"{at.at} {at.metric or ''}".strip()
    chosen += f", on {report.split}" if report.split else ""
    parts = [
        f"{report.experiment.name}. Parameters: {chosen}. Point: a run; box: quartiles and "
        "median; whiskers: all finished runs. Smaller is better for MSE, larger for the others."
    ]
    if table["is_worst"].any():
        parts.append("Cross: diverged, the worst of all ranks.")
    if (table["epoch"].notna() & ~table["is_final"]).any():
        parts.append("Ring: so far, not part of the box.")
    return " ".join(parts)
