"""How many runs of each group succeeded, with the uncertainty of so few runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import NORMAL, make_figure
from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.summary import CONFIDENCE, summarise

_AXES_HEIGHT = 2.8  # inches
_CAP_POINTS = 4.0


def draw_success_rates(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """One figure, where the primary metric has a threshold and a run has finished."""
    metric = results.metric
    table = summarise(results).to_frame()
    if metric.success_below is None or not table["n"].any():
        return
    axis = results.group_axis
    figure, (ax,) = make_figure(
        axes_width=style.choose_axes_width(axis, _count(table)),
        axes_height=_AXES_HEIGHT,
        medium=medium,
    )
    draw_success_rate(ax, table, axis=axis)
    style.set_title(ax, f"{metric.success_title}: {metric.title} < {metric.success_below:g}")
    explanation = (
        f"Lines: {100 * CONFIDENCE:.0f} % interval (Wilson). "
        "Diverged runs are failures; unfinished runs do not count."
    )
    yield make_drawing(
        "success_rate", figure, table, results=results, explanation=explanation, medium=medium
    )


def draw_success_rate(ax: Axes, table: pd.DataFrame, *, axis: GroupAxis) -> Axes:
    """Draw the rates of `Summary.to_frame`: a point, its interval and `k/n` for each group."""
    for place, (row, colour) in enumerate(
        zip(table.to_dict("records"), style.choose_colours(axis), strict=True)
    ):
        if row["n"]:
            _draw_rate(ax, place, row, colour=colour)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylabel("successful runs", fontsize=NORMAL)
    style.tidy(ax)
    return style.label_groups(ax, axis, notes=_count(table))


def _count(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["num_successes"].tolist(), table["n"].tolist(), strict=True)
    return [f"{num_successes}/{n}" if n else "n = 0" for num_successes, n in pairs]


def _draw_rate(ax: Axes, place: int, row: Mapping[Any, Any], *, colour: str) -> None:
    rate = row["success_rate"]
    # Rounding may leave a limit of the interval a hair on the wrong side of the rate.
    down, up = max(0, rate - row["success_rate_low"]), max(0, row["success_rate_high"] - rate)
    bar = ax.errorbar(
        [place],
        [rate],
        yerr=[[down], [up]],
        fmt="o",
        color=colour,
        markersize=7,
        linewidth=1.6,
        capsize=_CAP_POINTS,
        clip_on=False,
    )
    bar.lines[0].set_gid(f"rate:{place}")
    for line in bar.lines[2]:
        line.set_gid(f"interval:{place}")
