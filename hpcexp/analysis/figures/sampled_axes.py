"""One hyperparameter against the metric: a point for each sample, a line through their medians."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import NORMAL, SMALL, as_plain_text, make_figure
from hpcexp.analysis.figures.units import name_axis
from hpcexp.analysis.frames import Results
from hpcexp.analysis.sampled import (
    SampleTable,
    Scale,
    find_best,
    is_sampled,
    make_sample_table,
    make_scales,
)

MAX_COLUMNS = 4
NEIGHBOURS = 7
"""A median is over at least so many samples, or a quarter of all."""

_AXES_WIDTH, _AXES_HEIGHT = 2.3, 2.4  # inches
_BEST, _POINT = style.CATEGORICAL[3], style.CATEGORICAL[0]
_JITTER = 0.16
_BEYOND = 0.06  # of the height: where diverged samples stand


def draw_sampled_axes(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """A panel for each axis, at most four side by side; none where axes were not sampled."""
    if not is_sampled(results.plan):
        return
    table = make_sample_table(results)
    scales = make_scales(table)
    for page, begin in enumerate(range(0, len(scales), MAX_COLUMNS)):
        chosen = scales[begin : begin + MAX_COLUMNS]
        figure, axes = make_figure(
            axes_width=_AXES_WIDTH,
            axes_height=_AXES_HEIGHT,
            num_columns=len(chosen),
            medium=medium,
        )
        for place, (ax, scale) in enumerate(zip(axes, chosen, strict=True)):
            draw_sampled_axis(ax, table, scale)
            if place == 0:
                ax.set_ylabel(name_axis(results.metric.title, results.metric.name))
        yield make_drawing(
            "sampled_axes" if page == 0 else f"sampled_axes_{page + 1}",
            figure,
            _make_rows(table),
            results=results,
            explanation=_explain(table),
            medium=medium,
        )


def draw_sampled_axis(ax: Axes, table: SampleTable, scale: Scale) -> Axes:
    """Draw the samples that have the axis: points, running medians, the best five, the diverged.

    The abscissa is the place along the scale, from 0 to 1, labelled with values.
    """
    rows, values = table.pick(scale.axis)
    keep = ~np.isnan(table.first[rows])
    rows = rows[keep]
    x = np.array([scale.place(v) for v, k in zip(values, keep, strict=True) if k], np.float64)
    y = table.first[rows]
    finite = np.isfinite(y)
    best = {one.group for one in find_best(table)}
    is_best = np.array([table.groups[row] in best for row in rows], bool)
    shown = x + _spread(len(x)) if scale.kind == "levels" else x
    _draw_points(ax, shown[finite], y[finite], table.numbers[rows[finite]], table=table)
    ax.scatter(
        shown[finite & is_best], y[finite & is_best],
        s=46, facecolors="none", edgecolors=_BEST, linewidths=1.4, zorder=3, gid="best",
    )  # fmt: skip
    if scale.kind == "levels":
        _draw_level_medians(ax, x, y)
    elif finite.sum() >= NEIGHBOURS:
        ax.plot(*smooth(x, y), color=style.GREY, linewidth=1.4, zorder=2.5, gid="smoother")
    if (~finite).any():
        ax.scatter(
            shown[~finite], np.full(int((~finite).sum()), 1 - _BEYOND), marker="x", s=22,
            color=style.GREY, linewidths=1, transform=ax.get_xaxis_transform(), gid="diverged",
        )  # fmt: skip
    _label(ax, scale)
    return ax


def smooth(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians over neighbours along x, (samples,); a diverged sample is the worst of its window.

    A line ends where its median is a diverged one. Source: Tukey 1977, running medians.
    """
    order = np.argsort(x, kind="stable")
    width = min(len(x), max(NEIGHBOURS, len(x) // 4))
    windows = [order[i : i + width] for i in range(len(order) - width + 1)]
    middle = np.array([float(np.mean(x[w])) for w in windows])
    # The lower of the two in the middle: a mean of infinite ones would be none.
    medians = np.array([float(np.sort(y[w])[(width - 1) // 2]) for w in windows])
    return middle, np.where(np.isfinite(medians), medians, np.nan)


def _draw_points(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    numbers: NDArray[np.int64],
    *,
    table: SampleTable,
) -> None:
    if table.space.is_adaptive:  # dark to light: earlier to later
        ax.scatter(x, y, s=16, c=numbers, cmap="viridis_r", alpha=0.85, linewidths=0, gid="samples")
    else:
        ax.scatter(x, y, s=16, color=_POINT, alpha=0.65, linewidths=0, gid="samples")


def _draw_level_medians(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    for place in np.unique(x):
        median = float(np.sort(y[x == place])[(int((x == place).sum()) - 1) // 2])
        if math.isfinite(median):
            ends = (place - 1.6 * _JITTER / 2, place + 1.6 * _JITTER / 2)
            ax.plot(ends, [median] * 2, color=style.GREY, linewidth=1.8, zorder=2.5, gid="median")


def _spread(count: int) -> NDArray[np.float64]:
    """Side by side within a level, the same at every drawing."""
    golden = (math.sqrt(5) - 1) / 2
    return np.asarray(((np.arange(count) * golden) % 1 - 0.5) * _JITTER, np.float64)


def _label(ax: Axes, scale: Scale) -> None:
    ticks = scale.list_ticks()
    ax.set_xlim(-0.12, 1.12) if scale.kind == "levels" else ax.set_xlim(-0.04, 1.04)
    many = len(ticks) > 4
    ax.set_xticks(
        [place for place, _ in ticks],
        labels=[as_plain_text(label) for _, label in ticks],
        rotation=90 if many else 0,
    )
    finite = [v for v in ax.dataLim.intervaly if math.isfinite(v)]
    if len(finite) == 2 and finite[0] > 0 and finite[1] / finite[0] > style.MAX_RATIO_LINEAR:
        ax.set_yscale("log")
        style.label_log_axis(ax)
    else:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    suffix = " (log scale)" if scale.kind == "log" else ""
    ax.set_xlabel(f"{as_plain_text(scale.axis)}{suffix}", fontsize=NORMAL)
    style.tidy(ax)
    ax.tick_params(axis="x", labelsize=SMALL)


def _make_rows(table: SampleTable) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "group": group,
                "number": int(number),
                "median": float(first),
                "num_runs": int(num),
                "fresh_median": float(fresh),
                "num_fresh_runs": int(num_fresh),
                **{axis: values.get(axis) for axis in table.axes},
            }
            for group, number, first, num, fresh, num_fresh, values in zip(
                table.groups, table.numbers, table.first, table.num_first, table.fresh,
                table.num_fresh, table.values, strict=True,
            )
        ]
    )  # fmt: skip


def _explain(table: SampleTable) -> str:
    later = " Darker points came later." if table.space.is_adaptive else ""
    diverged = " Crosses at the top: diverged." if np.isinf(table.first).any() else ""
    return (
        f"n = {len(table.groups)} of {table.num_planned} samples ({table.space.method}); a point "
        "is the median of a sample's runs, the line a running median, short lines are medians of "
        "levels. "
        f"Circles: the best five, better than they would be again.{later}{diverged}"
    )
