"""Final values by group: a box per group, and every run as a point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.frames import STILL_TRAINING, Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.losses import describe_loss, is_loss
from hpcexp.analysis.summary import STATES, Distribution, describe_distribution
from hpcexp.store.status import FINISHED, State
from hpcexp.train.metric import Metric

BOX_WIDTH = 0.62
SPREAD = 0.36
MIN_LOG_SPAN = 10.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_HEIGHT = 4.4  # inches
_POINT: dict[str, Any] = {"s": 20.0, "linewidths": 0.7, "zorder": 3.0}
_MARKERS = {"beyond": "^", "diverged": "X"}


def draw_boxplots(results: Results) -> Iterator[Drawing]:
    """A figure for the primary metric, and one for each loss of the validation set."""
    yield from _draw_one(results, results.metric, stem=results.metric.name)
    for name in _list_final_metrics(results.runs):
        if is_loss(name):
            metric = Metric(name, title=f"{describe_loss(name)} (validation)")
            yield from _draw_one(results, metric, stem=f"final_{name}")


def make_box_table(results: Results, metric: Metric) -> pd.DataFrame:
    """One row per planned run: what is drawn of it.

    `value` is final where `is_final`, infinite for a diverged run; otherwise it is the newest
    value of a run that is still training; NaN where there is none to draw.
    """
    runs = results.runs
    params = [name for name in runs if str(name).startswith("params.")]
    final = runs[f"final.{metric.name}"]
    so_far = runs[f"latest.{metric.name}"].where(runs["state"].isin(list(STILL_TRAINING)))
    return runs[["run", "group", *params, "rand_init", "state", "epoch"]].assign(
        metric=metric.name, value=final.fillna(so_far), is_final=final.notna()
    )


def draw_boxplot(ax: Axes, table: pd.DataFrame, *, axis: GroupAxis, metric: Metric) -> Axes:
    """Draw a table of `make_box_table`; whiskers span all finished runs.

    A run keeps its place across the width of a box in every group, so that equal
    initialisations can be compared.
    """
    limits = choose_limits(table["value"].to_numpy(np.float64), metric)
    ax.set_yscale("log" if limits.is_log else "linear")
    ax.set_ylim(limits.low, limits.high)
    if limits.is_log:
        style.label_log_axis(ax)
    groups = [table[table["group"] == name] for name in axis.names]
    for place, (group, colour) in enumerate(zip(groups, style.choose_colours(axis), strict=True)):
        _draw_box(ax, group, place=place, colour=colour, top=limits.high)
        _draw_points(ax, group, place=place, colour=colour, cap=metric.cap)
    if metric.success_below is not None:
        style.draw_threshold(ax, metric.success_below)
    style.tidy(ax)
    ax.set_ylabel(metric.title, fontsize=style.NORMAL)
    return style.label_groups(ax, axis, notes=[describe_group(g, metric) for g in groups])


@dataclass(frozen=True)
class Limits:
    """The range of the value axis."""

    low: float
    high: float
    is_log: bool


def choose_limits(values: NDArray[np.float64], metric: Metric) -> Limits:
    """From 0 to the metric's cap; without one, all finite values, logarithmic if they span a lot.

    A linear axis of values that are not negative starts at 0.
    """
    if metric.cap is not None:
        return Limits(0, metric.cap, is_log=False)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if low > 0 and high / low >= MIN_LOG_SPAN:
        margin = (high / low) ** 0.06
        return Limits(low / margin, high * margin, is_log=True)
    span = high - min(low, 0) or 1.0
    return Limits(0 if low >= 0 else low - 0.06 * span, high + 0.06 * span, is_log=False)


def describe_group(group: pd.DataFrame, metric: Metric) -> str:
    """Lines below a box: `n = 6`, and what is not an ordinary point: `1 diverged`, `2 running`."""
    final = group.loc[group["is_final"], "value"]
    lines = [f"n = {len(final)}"]
    if metric.cap is not None:
        beyond = int(((final > metric.cap) & np.isfinite(final)).sum())
        lines += [f"{beyond} above {metric.cap:g}"] if beyond else []
    named = [s for s in STATES if s not in FINISHED - {State.DIVERGED}]
    counts = group["state"].value_counts()
    return "\n".join([*lines, *(f"{counts[s]} {s}" for s in named if counts.get(s, 0))])


def spread_points(rand_init: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where in the width of its box a run is drawn, from -0.18 to 0.18; 0 for the first one.

    Multiples of the golden ratio, so that any number of first initialisations lie apart.
    """
    return np.asarray(SPREAD * ((0.5 + rand_init * _GOLDEN) % 1 - 0.5), np.float64)


def _draw_one(results: Results, metric: Metric, *, stem: str) -> Iterator[Drawing]:
    table = make_box_table(results, metric)
    if not np.isfinite(table["value"]).any():
        return
    axis = results.group_axis
    figure, (ax,) = style.make_figure(width=style.choose_width(len(axis.names)), height=_HEIGHT)
    title = f"final {metric.title}, {table['is_final'].sum()} of {len(table)} runs"
    style.add_headline(figure, results.plan.question)
    style.set_title(ax, title)
    draw_boxplot(ax, table, axis=axis, metric=metric)
    style.add_footnote(figure, f"{results.experiment.name}. {_explain(table, metric)}")
    yield Drawing(stem, figure, table)


def _explain(table: pd.DataFrame, metric: Metric) -> str:
    """What the signs mean that occur."""
    parts = ["Point: a run. Box: quartiles and median; whiskers: all finished runs"]
    values, is_final = table["value"], table["is_final"]
    if metric.cap is not None and (num := int(((values > metric.cap) & np.isfinite(values)).sum())):
        parts.append(
            f"triangle: above {metric.cap:g}, beyond the axis ({num} of {len(table)} runs)"
        )
    if np.isinf(values).any():
        parts.append("cross: diverged, the worst of all ranks")
    if (values.notna() & ~is_final).any():
        parts.append("ring: so far, not part of the box")
    return "; ".join(parts) + "."


def _list_final_metrics(runs: pd.DataFrame) -> list[str]:
    return [str(c).removeprefix("final.") for c in runs if str(c).startswith("final.")]


def _draw_box(ax: Axes, group: pd.DataFrame, *, place: int, colour: str, top: float) -> None:
    final = describe_distribution(group.loc[group["is_final"], "value"])
    if final.n == 0:
        return
    drawn = ax.bxp(
        [_make_box(final, top=top)],
        positions=[place],
        widths=BOX_WIDTH,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": (colour, 0.22), "edgecolor": colour, "linewidth": 1},
        medianprops={"color": colour, "linewidth": 2.2},
        whiskerprops={"color": colour, "linewidth": 1},
        capprops={"color": colour, "linewidth": 1},
    )
    for kind, artists in drawn.items():
        for artist in artists:
            artist.set_gid(f"{kind}:{place}")


def _make_box(final: Distribution, *, top: float) -> dict[str, Any]:
    """What `Axes.bxp` draws; an infinite statistic lies at the top of the axis."""
    statistics = {
        "whislo": final.min,
        "q1": final.lower_quartile,
        "med": final.median,
        "q3": final.upper_quartile,
        "whishi": final.max,
    }
    return {name: top if math.isinf(value) else value for name, value in statistics.items()}


def _draw_points(
    ax: Axes, group: pd.DataFrame, *, place: int, colour: str, cap: float | None
) -> None:
    x = place + spread_points(group["rand_init"].to_numpy(np.int64))
    values, is_final = group["value"].to_numpy(np.float64), group["is_final"].to_numpy(bool)
    beyond = np.isfinite(values) & (values > (math.inf if cap is None else cap))
    inside = np.isfinite(values) & ~beyond
    for gid, chosen, face in (
        ("final", inside & is_final, colour),
        ("so_far", inside & ~is_final, "none"),
    ):
        edge = "white" if gid == "final" else colour
        ax.scatter(
            x[chosen],
            values[chosen],
            facecolors=face,
            edgecolors=edge,
            clip_on=False,
            gid=f"{gid}:{place}",
            **_POINT,
        )
    _draw_at_top(ax, x[beyond], kind="beyond", place=place, colour=colour)
    _draw_at_top(ax, x[np.isinf(values)], kind="diverged", place=place, colour=colour)


def _draw_at_top(ax: Axes, x: NDArray[np.float64], *, kind: str, place: int, colour: str) -> None:
    """Runs whose value is no place on the axis: marked at its top edge."""
    ax.scatter(
        x,
        np.ones(len(x)),
        transform=ax.get_xaxis_transform(),
        marker=_MARKERS[kind],
        facecolors=colour,
        edgecolors="white",
        clip_on=False,
        gid=f"{kind}:{place}",
        **(_POINT | {"s": 42.0}),
    )
