"""Parallel coordinates: a line for each sample through its values, coloured by its rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import NORMAL, SMALL, as_plain_text, make_figure, measure
from hpcexp.analysis.frames import Results
from hpcexp.analysis.sampled import (
    SampleTable,
    Scale,
    is_sampled,
    make_sample_table,
    make_scales,
)

NOT_THERE = -0.13
"""Where a line passes an axis that its sample does not have."""

_SLOT, _AXES_HEIGHT = 1.35, 3.0  # inches
_FADED, _BEST_SHARE = 0.25, 0.2


def draw_parallel_coordinates(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """One figure, where two axes or more were sampled."""
    if not is_sampled(results.plan):
        return
    table = make_sample_table(results)
    scales = make_scales(table)
    usable = np.flatnonzero(~np.isnan(table.first))
    if len(scales) < 2 or len(usable) < 2:
        return
    widest = max(measure(scale.axis, fontsize=SMALL)[0] for scale in scales) + 0.15
    figure, (ax,) = make_figure(
        axes_width=max(_SLOT, widest) * len(scales) + 0.4, axes_height=_AXES_HEIGHT, medium=medium
    )
    metric = results.metric.title.removesuffix(" (validation)")
    frame = draw_lines(ax, table, scales)
    style.set_title(ax, "values of the samples")
    yield make_drawing(
        "parallel_coordinates",
        figure,
        frame,
        results=results,
        explanation=(
            f"n = {len(usable)} samples, one line each. The best fifth is coloured, the best one "
            f"darkest; last axis: rank by {metric}, the best at the top. "
            "Below an axis (–): it is not there in these samples."
        ),
        medium=medium,
    )


def draw_lines(ax: Axes, table: SampleTable, scales: Sequence[Scale]) -> pd.DataFrame:
    """Draw all samples, the best last; returns places along the axes, from 0 to 1, and ranks."""
    usable = np.flatnonzero(~np.isnan(table.first))
    order = usable[np.argsort(table.first[usable], kind="stable")]  # the best first
    places = np.array(
        [
            [
                scale.place(table.values[row][scale.axis])
                if scale.axis in table.values[row]
                else NOT_THERE
                for scale in scales
            ]
            for row in order
        ]
    )
    heights = 1 - np.arange(len(order)) / max(1, len(order) - 1)
    lines = np.stack(
        [
            np.tile(np.arange(len(scales) + 1.0), (len(order), 1)),
            np.column_stack([places, heights]),
        ],
        axis=-1,
    )
    num_best = max(1, round(_BEST_SHARE * len(order)))
    colours = [
        mpl.colormaps["viridis"](0.85 * rank / num_best)
        if rank < num_best
        else (0.6, 0.6, 0.6, _FADED)
        for rank in range(len(order))
    ]
    widths = [1.5 if rank < num_best else 0.8 for rank in range(len(order))]
    ax.add_collection(
        LineCollection(
            list(lines[::-1]), colors=colours[::-1], linewidths=widths[::-1], gid="samples"
        )
    )
    _draw_axes(ax, scales, has_gaps=bool((places == NOT_THERE).any()))
    names = [table.groups[row] for row in order]
    frame = pd.DataFrame(places, columns=[scale.axis for scale in scales])
    frame.insert(0, "group", names)
    return frame.assign(median=table.first[order], rank=np.arange(1, len(order) + 1))


def _draw_axes(ax: Axes, scales: Sequence[Scale], *, has_gaps: bool) -> None:
    ax.set_xlim(-0.35, len(scales) + 0.35)
    ax.set_ylim(NOT_THERE - 0.05 if has_gaps else -0.05, 1.05)
    for place, scale in enumerate(scales):
        ax.axvline(place, ymin=0.02, color=style.GREY, linewidth=0.8, zorder=2.5)
        for height, label in scale.list_ticks():
            ax.annotate(
                as_plain_text(label),
                (place, height),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=SMALL,
                va="center",
                zorder=4,
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
            )
    ax.axvline(len(scales), color=style.GREY, linewidth=0.8, zorder=2.5)
    for height, label in ((1, "best"), (0, "worst")):
        ax.annotate(
            label, (len(scales), height), xytext=(3, 0), textcoords="offset points",
            fontsize=SMALL, va="center",
        )  # fmt: skip
    ax.set_xticks(
        range(len(scales) + 1),
        labels=[*(as_plain_text(scale.axis) for scale in scales), "rank"],
        fontsize=NORMAL,
    )
    ax.set_yticks([NOT_THERE] if has_gaps else [], labels=["–"] if has_gaps else [])
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
