"""How many runs of each group succeeded, with the uncertainty of so few runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.summary import CONFIDENCE, summarise

_HEIGHT = 3.9  # inches
_CAP_POINTS = 4.0


def draw_success_rates(results: Results) -> Iterator[Drawing]:
    """One figure, where the primary metric has a threshold and a run has finished."""
    metric = results.metric
    table = summarise(results).to_frame()
    if metric.success_below is None or not table["n"].any():
        return
    axis = results.group_axis
    figure, (ax,) = style.make_figure(width=style.choose_width(len(axis.names)), height=_HEIGHT)
    title = f"{metric.success_title}: {metric.title} < {metric.success_below:g}"
    style.add_headline(figure, results.plan.question)
    style.set_title(ax, title)
    draw_success_rate(ax, table, axis=axis)
    style.add_footnote(
        figure,
        f"{results.experiment.name}. Lines: {CONFIDENCE:.0%} interval (Wilson). "
        "Diverged runs are failures; unfinished runs do not count.",
    )
    yield Drawing("success_rate", figure, table)


def draw_success_rate(ax: Axes, table: pd.DataFrame, *, axis: GroupAxis) -> Axes:
    """Draw the rates of `Summary.to_frame`: a point, its interval and `k/n` for each group."""
    for place, (row, colour) in enumerate(
        zip(table.to_dict("records"), style.choose_colours(axis), strict=True)
    ):
        if row["n"]:
            _draw_rate(ax, place, row, colour=colour)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylabel("successful runs", fontsize=style.NORMAL)
    style.tidy(ax)
    pairs = zip(table["num_successes"].tolist(), table["n"].tolist(), strict=True)
    notes = [f"{num_successes}/{n}" if n else "n = 0" for num_successes, n in pairs]
    return style.label_groups(ax, axis, notes=notes)


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
