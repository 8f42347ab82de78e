"""Several tasks of one model: boxes of every task, gains, forgetting, and equal budgets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.boxplot import make_box_table, spread_points
from hpcexp.analysis.figures.curves import add_legend
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.matrix import draw_cells, measure_matrix
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import (
    NORMAL,
    PNG_DPI,
    RIGHT,
    SMALL,
    as_plain_text,
    make_figure,
    measure,
)
from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.tasks import (
    DELTA_M,
    ERROR,
    compute_gain,
    find_reference,
    follow_budgets,
    has_tasks,
    list_tasks,
    tabulate_errors,
    tabulate_forgetting_by_group,
)
from hpcexp.train.metric import Metric

_ROW, _PANEL, _GAP, _TICK = 0.3, 1.15, 0.14, 0.45  # inches
_BUDGET_SIZE = (3.6, 3.0)


def draw_tasks(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """Figures of runs that report errors of several tasks; none of others."""
    if not has_tasks(results):
        return
    yield from _draw_errors(results, medium)
    yield from _draw_gains(results, medium)
    yield from _draw_forgetting(results, medium)
    yield from _draw_budgets(results, medium)


# ------------------------------------------------------------------------- boxes by task


def _draw_errors(results: Results, medium: Medium) -> Iterator[Drawing]:
    tasks = list_tasks([str(c) for c in results.runs], prefix=f"final.{ERROR}")
    tables = [
        make_box_table(results, Metric(f"{ERROR}{task}", title=task)).assign(task=task)
        for task in tasks
    ]
    table = pd.concat(tables, ignore_index=True)
    if not np.isfinite(table["value"]).any():
        return
    axis = results.group_axis
    figure, panels = _make_columns(axis, num_columns=len(tasks), medium=medium)
    for ax, task, of_task in zip(panels, tasks, tables, strict=True):
        draw_task(ax, of_task, axis=axis, title=task)
    yield make_drawing(
        "task_errors",
        figure,
        table,
        results=results,
        explanation="Error of each task (1 - AUC, or 1 - R²) on the validation set: smaller is "
        "better, 0.5 is chance for an AUC. Point: a run; box: quartiles and median; dotted: the "
        "median of the first group. Axes differ between tasks.",
        medium=medium,
    )


def draw_task(ax: Axes, table: pd.DataFrame, *, axis: GroupAxis, title: str) -> Axes:
    """Lying boxes of one task, a row for each group; groups that do not train it stay empty."""
    final = table[table["is_final"] & np.isfinite(table["value"])]
    colours = style.choose_colours(axis)
    for place, (name, colour) in enumerate(zip(axis.names, colours, strict=True)):
        runs = final[final["group"] == name]
        if runs.empty:
            continue
        box = ax.boxplot(
            [runs["value"]], positions=[place], widths=0.6, orientation="horizontal",
            whis=(0, 100), showfliers=False, patch_artist=True, manage_ticks=False,
        )  # fmt: skip
        for artists in box.values():
            for artist in artists:
                artist.set_color(colour)
        box["boxes"][0].set(facecolor=(colour, 0.22), gid=f"box:{place}")
        box["medians"][0].set(linewidth=2.0, gid=f"median:{place}")
        seeds = runs["rand_init"].to_numpy(np.int64)
        ax.scatter(
            runs["value"], place + spread_points(seeds), s=9, color=colour, edgecolors="white",
            linewidths=0.4, zorder=3, gid=f"runs:{place}",
        )  # fmt: skip
    first = final[final["group"] == axis.names[0]]["value"]
    if len(first):
        ax.axvline(float(first.median()), color=style.GREY, linewidth=0.8, linestyle=":", zorder=1)
    ax.set_ylim(len(axis.names) - 0.5, -0.5)
    style.set_title(ax, title)
    style.tidy(ax)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=style.LIGHT_GREY, linewidth=0.6)
    ax.tick_params(axis="x", labelsize=SMALL)
    return _label_within(ax)


def _label_within(ax: Axes) -> Axes:
    """As many ticks as there is room for; a label at an end does not reach the next panel."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    width = ax.get_position().width * figure.get_figwidth()
    low, high = ax.get_xlim()
    most = min(3, max(1, int(width / _TICK)))
    ticks = [t for t in MaxNLocator(most).tick_values(low, high) if low <= t <= high]
    texts = [f"{tick:g}" for tick in ticks]
    ax.set_xticks(ticks, texts)
    for label, tick, text in zip(ax.get_xticklabels(), ticks, texts, strict=True):
        half = measure(text, fontsize=SMALL)[0] / 2
        if width * (tick - low) / (high - low) < half:
            label.set_horizontalalignment("left")
        elif width * (high - tick) / (high - low) < half:
            label.set_horizontalalignment("right")
    return ax


def _make_columns(
    axis: GroupAxis, *, num_columns: int, medium: Medium
) -> tuple[Figure, list[Axes]]:
    """Axes side by side with the groups' labels at the left of the first."""
    labels = [as_plain_text(label) for label in axis.labels]
    left = max(measure(label, fontsize=NORMAL)[0] for label in labels) + 0.25
    width = medium.choose_width(left + num_columns * (_PANEL + _GAP) + RIGHT)
    panel = (width - left - RIGHT) / num_columns - _GAP
    figure = Figure(figsize=(width, _ROW * len(labels) + 0.2), dpi=PNG_DPI)
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, num_columns, squeeze=False)[0])
    for column, ax in enumerate(panels):
        ax.set_position(((left + column * (panel + _GAP)) / width, 0, panel / width, 1))
        ax.set_yticks(range(len(labels)), labels if column == 0 else [""] * len(labels))
        ax.tick_params(axis="y", length=0)
    return figure, panels


# ------------------------------------------------------------------------------ matrices


def _draw_gains(results: Results, medium: Medium) -> Iterator[Drawing]:
    over, reference = find_reference(results)
    gains = compute_gain(tabulate_errors(results.runs), reference)
    gains = gains.reindex([n for n in results.group_axis.names if n in gains.index])
    if gains.empty or not np.isfinite(gains.to_numpy(float)).any():
        return
    shown = gains.rename(columns={DELTA_M: "Δm (mean)"}, index=_label(results.group_axis))
    yield _draw_matrix(
        shown,
        stem="task_gain",
        title=f"gain over {over} (%)",
        table=gains.reset_index().assign(over=over),
        results=results,
        medium=medium,
        explanation="How much of the median error is gone, in percent: blue is better. Δm is the "
        "mean of a row. Medians say nothing of chance: the statistics do.",
        is_signed=True,
    )


def _draw_forgetting(results: Results, medium: Medium) -> Iterator[Drawing]:
    labels = _label(results.group_axis)
    for name, matrix in tabulate_forgetting_by_group(results).items():
        yield _draw_matrix(
            matrix,
            stem=f"forgetting_{name}".replace("/", "_"),
            title=f"{labels[name]}: error of each task after each phase",
            table=matrix.rename_axis("phase").reset_index().assign(group=name),
            results=results,
            medium=medium,
            explanation="Rows: the task of a phase, in their order; columns: the error of each "
            "task at its end. Medians over runs. Below the diagonal stands what is forgotten.",
        )


def _draw_matrix(
    matrix: pd.DataFrame,
    *,
    stem: str,
    title: str,
    table: pd.DataFrame,
    results: Results,
    medium: Medium,
    explanation: str,
    is_signed: bool = False,
) -> Drawing:
    size = measure_matrix(matrix)
    width = medium.choose_width(size.left + size.width + RIGHT)
    figure = Figure(figsize=(width, size.height), dpi=PNG_DPI)
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.set_position((size.left / width, 0, (width - size.left - RIGHT) / width, 1))
    draw_cells(ax, matrix, is_signed=is_signed)
    ax.set_title(as_plain_text(title), loc="left", fontsize=NORMAL, pad=9)
    return make_drawing(
        stem, figure, table, results=results, explanation=explanation, medium=medium
    )


def _label(axis: GroupAxis) -> dict[str, str]:
    return dict(zip(axis.names, axis.labels, strict=True))


# ------------------------------------------------------------------------- equal budgets


def _draw_budgets(results: Results, medium: Medium) -> Iterator[Drawing]:
    followed = follow_budgets(results)
    if followed.empty or len(results.group_axis.names) < 2:
        return
    axis = results.group_axis
    legend = max(measure(as_plain_text(label), fontsize=SMALL)[0] for label in axis.labels) + 0.6
    figure, panels = make_figure(
        axes_width=_BUDGET_SIZE[0], axes_height=max(_BUDGET_SIZE[1], 0.19 * len(axis.names) + 0.4),
        right=legend + RIGHT, num_columns=2, medium=medium,
    )  # fmt: skip
    for ax, budget in zip(panels, ("steps", "samples"), strict=True):
        draw_budget(ax, followed, axis=axis, budget=budget)
        ax.set_ylabel(as_plain_text(results.metric.title), fontsize=NORMAL)
    add_legend(panels[-1], axis=axis, gap=0.12, num_columns=1, size=SMALL)
    yield make_drawing(
        f"{results.metric.name}_by_budget",
        figure,
        followed,
        results=results,
        explanation="Medians of groups at each evaluation. Left: over optimiser steps; right: over "
        "samples, the rows that trained a task, added up over tasks. A strategy that trains one "
        "task in each step sees fewer samples at equal steps.",
        medium=medium,
    )


def draw_budget(ax: Axes, followed: pd.DataFrame, *, axis: GroupAxis, budget: str) -> Axes:
    """A line for each group: the median value over the median budget of its evaluations."""
    colours, lines = style.choose_colours(axis), style.choose_line_styles(axis)
    for place, name in enumerate(axis.names):
        group = followed[followed["group"] == name]
        medians = group.groupby("epoch")[[budget, "value"]].median()
        ax.plot(
            medians[budget], medians["value"], color=colours[place], linestyle=lines[place],
            linewidth=1.6, marker=".", markersize=4, gid=f"group:{place}",
            label=as_plain_text(axis.labels[place]),
        )  # fmt: skip
    style.tidy(ax)
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_formatter(FuncFormatter(_spell_count))
    titles = {"steps": "at equal steps", "samples": "at equal samples"}
    style.set_title(ax, titles[budget])
    words = {"steps": "optimiser steps", "samples": "samples of tasks"}
    ax.set_xlabel(words[budget], fontsize=NORMAL)
    return ax


def _spell_count(value: float, _: object) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
