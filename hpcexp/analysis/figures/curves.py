"""Curves over training: the median of each group, and every run where that stays readable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hpcexp.analysis.curves import (
    Curves,
    average_curves,
    choose_window,
    find_ends,
    join_frames,
    take_median,
)
from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import (
    NORMAL,
    RIGHT,
    SMALL,
    THRESHOLD_WIDTH,
    as_plain_text,
    make_figure,
    measure,
)
from hpcexp.analysis.figures.units import name_axis
from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.losses import TOTAL_LOSS, describe_loss

MAX_GROUPS_WITH_RUNS = 8
"""With more groups only their medians are drawn: lines of single runs would hide them."""

MAX_LEGEND_ROWS, MAX_CROWDED_ROWS = 10, 11
"""Of a figure whose height is given; with more groups letters get smaller, then columns two."""

_AXES_WIDTH, _AXES_HEIGHT = 4.2, 3.2  # inches
_ENTRY_HEIGHT, _LEGEND_GAP = 0.18, 0.15  # inches
_HANDLE_LENGTH = 2.6  # widths of a letter: dash patterns stay apart
_SPLIT_TITLES = {"train": "training", "validate": "validation"}
_DIVERGED_GID = "diverged:"


def draw_loss_curves(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """The total loss, on the training set and on the validation set."""
    window, metric = choose_window(results), results.metric
    is_primary = metric.name == TOTAL_LOSS
    described = describe_loss(TOTAL_LOSS, columns=results.metrics.columns)
    title = metric.title if is_primary else described
    panels = [
        average_curves(results, metric=TOTAL_LOSS, split=split, window=window)
        for split in _SPLIT_TITLES
    ]
    yield from _draw_panels(
        results,
        [p for p in panels if p.has_lines],
        stem="loss_curves",
        title=title,
        cap=metric.cap if is_primary else None,
        medium=medium,
    )


def draw_metric_curves(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """The primary metric on the validation set; the loss itself has its curves already."""
    metric = results.metric
    if metric.name == TOTAL_LOSS:
        return
    window = choose_window(results)
    curves = average_curves(results, metric=metric.name, split="validate", window=window)
    yield from _draw_panels(
        results,
        [curves] if curves.has_lines else [],
        stem=f"{metric.name}_curves",
        title=metric.title,
        cap=metric.cap,
        medium=medium,
    )


def draw_curves(
    ax: Axes, curves: Curves, *, axis: GroupAxis, scale: Literal["log", "linear"] = "log"
) -> Axes:
    """One colour per group: its median, and its runs as thin lines if there are few groups.

    Where nothing is positive, a logarithmic scale becomes a linear one.

    The medians carry the groups' labels for a legend. A cross ends the curve of a diverged run.
    """
    if not (curves.values > 0).any():
        scale = "linear"
    ax.set_yscale(scale)
    styles = style.choose_line_styles(axis)
    for place, (name, colour) in enumerate(
        zip(axis.names, style.choose_colours(axis), strict=True)
    ):
        group = curves.select(name)
        if len(axis.names) <= MAX_GROUPS_WITH_RUNS:
            _draw_runs(ax, group, place=place, colour=colour)
        _draw_divergences(ax, group, place=place, colour=colour)
        median = take_median(group)
        drawn = np.isfinite(median)
        (line,) = ax.plot(curves.epoch[drawn], median[drawn], color=colour, linewidth=1.9, zorder=3)
        label = as_plain_text(axis.labels[place])
        line.set(linestyle=styles[place], label=label, gid=f"median:{place}")
    _limit_range(ax, curves, scale=scale)
    averaged = f"epoch (means over {curves.window} epochs)" if curves.window > 1 else "epoch"
    ax.set_xlabel(averaged, fontsize=NORMAL)
    end = curves.epoch[-1] + (curves.window / 2 if curves.window > 1 else 0)
    ax.set_xlim(0, max(float(end), 1.0))
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    return style.tidy(ax)


def add_legend(
    ax: Axes,
    *,
    axis: GroupAxis,
    gap: float = _LEGEND_GAP,
    num_columns: int = 1,
    size: float = NORMAL,
) -> Axes:
    """The groups' names right of the axes, `gap` inches away, so that they hide no data."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1 + gap / (ax.get_position().width * figure.get_figwidth()), 1.0),
        borderaxespad=0,
        title=as_plain_text(axis.title) or None,
        fontsize=size,
        title_fontsize=size,
        ncols=num_columns,
        columnspacing=1.0,
        frameon=False,
        handlelength=_HANDLE_LENGTH,
    )
    return ax


def _draw_panels(
    results: Results,
    panels: Sequence[Curves],
    *,
    stem: str,
    title: str,
    cap: float | None,
    medium: Medium,
) -> Iterator[Drawing]:
    if not panels:
        return
    axis, threshold = results.group_axis, results.metric.success_below if cap else None
    gap = _LEGEND_GAP if threshold is None else _LEGEND_GAP + THRESHOLD_WIDTH
    legend = _lay_out_legend(axis, medium)
    figure, axes = make_figure(
        axes_width=_AXES_WIDTH,
        axes_height=max(_AXES_HEIGHT, legend.height / medium.axes_share),
        right=gap + legend.width + RIGHT,
        num_columns=len(panels),
        medium=medium,
    )
    for ax, curves in zip(axes, panels, strict=True):
        draw_curves(ax, curves, axis=axis, scale="linear" if cap else "log")
        style.set_title(ax, _SPLIT_TITLES[curves.split] if len(panels) > 1 else title)
        ax.set_ylabel(as_plain_text(name_axis(title, curves.metric)), fontsize=NORMAL)
        _shorten_epoch_label(ax, medium)
        if cap:
            ax.set_ylim(0, cap)
        if threshold is not None:
            style.draw_threshold(ax, threshold)
    if not cap:
        _share_range(axes)
    for ax in axes:
        _hold_crosses_inside(ax)
    add_legend(axes[-1], axis=axis, gap=gap, num_columns=legend.num_columns, size=legend.size)
    table = join_frames(panels, results)
    explanation = _explain(panels, axis)
    yield make_drawing(stem, figure, table, results=results, explanation=explanation, medium=medium)


@dataclass(frozen=True)
class _Legend:
    """Inches that a legend takes; letters in points."""

    num_columns: int
    size: float
    width: float
    height: float


def _lay_out_legend(axis: GroupAxis, medium: Medium) -> _Legend:
    """One column on a screen; in smaller letters side by side where the height is given."""
    count = len(axis.names)
    is_crowded = medium is not SCREEN and count > MAX_LEGEND_ROWS
    size = SMALL if is_crowded else NORMAL
    num_columns = -(-count // MAX_CROWDED_ROWS) if is_crowded else 1
    widest = max(measure(as_plain_text(label), fontsize=size)[0] for label in axis.labels)
    line = (_HANDLE_LENGTH + 1.5) * size / 72
    title = measure(as_plain_text(axis.title), fontsize=size)[0] + 0.1
    rows = -(-count // num_columns)
    return _Legend(
        num_columns,
        size,
        width=max(num_columns * (widest + line + 0.1), title),
        height=_ENTRY_HEIGHT * (rows + 1.5) * size / NORMAL,
    )


def _shorten_epoch_label(ax: Axes, medium: Medium) -> None:
    """Where axes are narrow, how many epochs a mean is over is left to the caption."""
    if medium is not SCREEN:
        ax.set_xlabel("epoch", fontsize=NORMAL)


def _share_range(axes: Sequence[Axes]) -> None:
    """The same range in all panels: what is apart on the training and validation set shows."""
    limits = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        if ax.get_yscale() == "log":
            style.label_log_axis(ax)


def _explain(panels: Sequence[Curves], axis: GroupAxis) -> str:
    parts = ["Thick line: median of a group's runs, while at least half of them get there"]
    if panels[0].window > 1:
        parts[0] += f", in means over {panels[0].window} epochs"
    if len(axis.names) <= MAX_GROUPS_WITH_RUNS:
        parts.append("thin lines: its runs")
    if any(curves.is_diverged.any() for curves in panels):
        parts.append("cross: diverged, from there the worst of all ranks")
    return "; ".join(parts) + "."


def _draw_runs(ax: Axes, group: Curves, *, place: int, colour: str) -> None:
    segments = [_connect(group.epoch, values) for values in group.values]
    ax.add_collection(
        LineCollection(
            segments,
            colors=[(colour, 0.35)],
            linewidths=0.7,
            zorder=2,
            gid=f"runs:{place}",
        )
    )


def _connect(epoch: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a line, (points, 2): windows in which nothing was recorded are stepped over."""
    recorded = ~np.isnan(values)
    return np.column_stack([epoch[recorded], values[recorded]])


def _hold_crosses_inside(ax: Axes) -> None:
    """Crosses beyond the range stand at its edge; to be called when the range is known."""
    for crosses in ax.collections:
        if str(crosses.get_gid()).startswith(_DIVERGED_GID):
            offsets = np.array(crosses.get_offsets())
            offsets[:, 1] = np.clip(offsets[:, 1], *ax.get_ylim())
            crosses.set_offsets(offsets)


def _draw_divergences(ax: Axes, group: Curves, *, place: int, colour: str) -> None:
    diverged = np.flatnonzero(group.is_diverged)
    if not len(diverged):
        return
    ends = find_ends(group)[diverged]
    ax.scatter(
        group.epoch[ends],
        group.values[diverged, ends],
        marker="X",
        clip_on=False,  # a run may diverge before its first evaluation: at the edge
        s=40,
        facecolors=colour,
        edgecolors="white",
        linewidths=0.7,
        zorder=4,
        gid=f"{_DIVERGED_GID}{place}",
    )


def _limit_range(ax: Axes, curves: Curves, *, scale: Literal["log", "linear"]) -> None:
    """All values of the runs that did not diverge: the last ones of those that did may be huge."""
    ordinary = curves.values[~curves.is_diverged]
    values = ordinary if np.isfinite(ordinary).any() else curves.values
    usable = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
    if not len(usable):
        return
    low, high = float(usable.min()), float(usable.max())
    if scale == "log":
        ax.set_ylim(low / 1.15, high * 1.15)
    else:
        ax.set_ylim(min(low, 0.0), high + 0.05 * (high - min(low, 0.0)) or 1.0)
