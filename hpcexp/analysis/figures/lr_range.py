"""The loss over a learning rate that rises from step to step."""

from __future__ import annotations

import re

import pandas as pd
from matplotlib.axes import Axes

from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.page import NORMAL, finish_page, make_figure
from hpcexp.analysis.figures.style import CATEGORICAL, GREY, label_log_axis, tidy
from hpcexp.worker.debug.lr_range import Sweep


def draw_lr_range(sweep: Sweep, *, template: str, group: str) -> Drawing:
    """Each step's loss as a point, the smoothed loss as a line, and two rates as lines."""
    figure, (ax,) = make_figure(axes_width=4.8, axes_height=2.8)
    draw_sweep(ax, sweep)
    ax.set_title(" \n ", loc="left", fontsize=NORMAL)  # room for the names of the rates
    finish_page(
        figure,
        headline=f"{template}, {group}: loss while the learning rate rises",
        footnote="Grey: the loss of each step; line: its moving average. "
        f"{sweep.describe().capitalize()}. Take a rate well below the rise.",
    )
    table = pd.DataFrame({"lr": sweep.rates, "loss": sweep.losses, "smoothed": sweep.smoothed})
    stem = re.sub(r"[^\w=,.+-]", "_", group)
    return Drawing(stem, figure, table)


def draw_sweep(ax: Axes, sweep: Sweep) -> Axes:
    """Losses over rates, both logarithmic where all losses are positive."""
    ax.set_xscale("log")
    if min(sweep.losses) > 0:
        ax.set_yscale("log")
    ax.plot(sweep.rates, sweep.losses, ".", color=GREY, alpha=0.4, markersize=3, gid="losses")
    ax.plot(sweep.rates, sweep.smoothed, color=CATEGORICAL[0], linewidth=1.8, gid="smoothed")
    marks = {"steepest": (sweep.steepest, CATEGORICAL[2]), "configured": (sweep.configured, GREY)}
    leftmost = min(marks, key=lambda name: marks[name][0])
    for name, (rate, colour) in marks.items():
        ax.axvline(rate, color=colour, linestyle="--", linewidth=1.2, gid=name)
        is_left = name == leftmost
        ax.annotate(
            f"{name}\n{rate:.2g}",
            xy=(rate, 1.0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-3 if is_left else 3, 4),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="bottom",
            fontsize=NORMAL,
            color=colour,
        )
    ax.set_xlabel("learning rate", fontsize=NORMAL)
    ax.set_ylabel("loss", fontsize=NORMAL)
    return tidy(label_log_axis(ax) if ax.get_yscale() == "log" else ax)
