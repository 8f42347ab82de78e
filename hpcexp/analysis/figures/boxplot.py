"""Final values by group: a box per group, and every run as a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import (
    NORMAL,
    RIGHT,
    THRESHOLD_WIDTH,
    as_plain_text,
    make_figure,
)
from hpcexp.analysis.figures.units import name_axis
from hpcexp.analysis.frames import STILL_TRAINING, Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.analysis.losses import describe_loss, is_loss
from hpcexp.analysis.summary import STATES, Distribution, describe_distribution
from hpcexp.store.status import FINISHED, State
from hpcexp.train.metric import Metric

BOX_WIDTH = 0.62
MANY_POINTS = 200
"""More are a collection for each colour: equal markers are drawn at once, which is faster."""
SPREAD = 0.36
MIN_LOG_SPAN = 10.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_AXES_HEIGHT = 3.2  # inches
_MARKERS = {"beyond": "^", "diverged": "X", "censored": "d"}
_ABOVE, _DIVERGED = "\u25b2", "\u2716"  # the same marks as letters
_SIZES = {"beyond": 42.0, "diverged": 42.0}


def draw_boxplots(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """A figure for the primary metric, and one for each other loss of the validation set."""
    yield from _draw_one(results, results.metric, stem=results.metric.name, medium=medium)
    for name in _list_final_metrics(results.runs):
        if is_loss(name) and name != results.metric.name:
            title = describe_loss(name, columns=results.metrics.columns)
            metric = Metric(name, title=f"{title} (validation)")
            yield from _draw_one(results, metric, stem=f"final_{name}", medium=medium)


def make_box_table(results: Results, metric: Metric) -> pd.DataFrame:
    """One row per planned run: what is drawn of it.

    `value` is final where `is_final`, infinite for a diverged run; otherwise it is the newest
    value of a run that is still training; NaN where there is none to draw. Where `is_censored`,
    the run was stopped as a foretold failure, and the value is that at the stop.
    """
    runs = results.runs
    params = [name for name in runs if str(name).startswith("params.")]
    final = runs[f"final.{metric.name}"]
    so_far = runs[f"latest.{metric.name}"].where(runs["state"].isin(list(STILL_TRAINING)))
    return runs[["run", "group", *params, "rand_init", "state", "epoch"]].assign(
        metric=metric.name,
        value=final.fillna(so_far),
        is_final=final.notna(),
        is_censored=runs["is_censored"],
    )


def draw_boxplot(
    ax: Axes,
    table: pd.DataFrame,
    *,
    axis: GroupAxis,
    metric: Metric,
    notes: Sequence[str] | None = None,
) -> Axes:
    """Draw a table of `make_box_table`; whiskers span all finished runs.

    The worst of all ranks is an infinite value: minus infinity where larger is better. `notes`
    are what `describe_groups` says, where it has been asked already.

    A run keeps its place across the width of a box in every group, so that equal
    initialisations can be compared.
    """
    limits = choose_limits(table["value"].to_numpy(np.float64), metric)
    ax.set_yscale("log" if limits.is_log else "linear")
    ax.set_ylim(limits.low, limits.high)
    if limits.is_log:
        style.label_log_axis(ax)
    style.tidy(ax)
    _draw_boxes(ax, table, axis=axis, limits=limits)
    _draw_points(ax, table, axis=axis, cap=metric.cap)
    if metric.success_below is not None:
        style.draw_threshold(ax, metric.success_below)
    ax.set_ylabel(as_plain_text(name_axis(metric.title, metric.name)), fontsize=NORMAL)
    notes = notes or describe_groups(table, axis=axis, metric=metric)
    turned = describe_groups(table, axis=axis, metric=metric, by_marks=True)
    return style.label_groups(ax, axis, notes=notes, turned=turned)


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


def describe_groups(
    table: pd.DataFrame, *, axis: GroupAxis, metric: Metric, by_marks: bool = False
) -> list[str]:
    """Lines below each box: `n = 6`, and what is no ordinary point: `1 diverged`, `2 running`.

    `by_marks` names what has a mark in the figure by it, as words take much room when turned.
    """
    is_final = table["is_final"].to_numpy(bool)
    is_beyond = _is_beyond(table["value"].to_numpy(np.float64), metric.cap)
    is_censored, states = _find_censored(table), table["state"].to_numpy(object)
    beyond = _ABOVE if by_marks else f"above {metric.cap:g}" if metric.cap is not None else ""
    words = {State.DIVERGED.value: _DIVERGED} if by_marks else {}
    named = [s for s in STATES if s not in FINISHED - {State.DIVERGED} and (states == s).any()]
    descriptions = []
    for name in axis.names:
        own = (table["group"] == name).to_numpy()
        kinds = [(is_beyond, beyond), (is_censored, "foretold")]
        kinds += [(states == state, words.get(state, state)) for state in named]
        counts = [(int((own & which).sum()), kind) for which, kind in kinds]
        lines = [f"n = {(own & is_final).sum()}", *(f"{n} {kind}" for n, kind in counts if n)]
        descriptions.append("\n".join(lines))
    return descriptions


def spread_points(rand_init: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where in the width of its box a run is drawn, from -0.18 to 0.18; 0 for the first one.

    Multiples of the golden ratio, so that any number of first initialisations lie apart.
    """
    return np.asarray(SPREAD * ((0.5 + rand_init * _GOLDEN) % 1 - 0.5), np.float64)


def _draw_one(results: Results, metric: Metric, *, stem: str, medium: Medium) -> Iterator[Drawing]:
    table = make_box_table(results, metric)
    if not np.isfinite(table["value"]).any():
        return
    axis = results.group_axis
    notes = describe_groups(table, axis=axis, metric=metric)
    figure, (ax,) = make_figure(
        axes_width=style.choose_axes_width(axis, notes),
        axes_height=_AXES_HEIGHT,
        right=RIGHT if metric.success_below is None else RIGHT + THRESHOLD_WIDTH,
        medium=medium,
    )
    draw_boxplot(ax, table, axis=axis, metric=metric, notes=notes)
    final = "" if metric.title.startswith("final ") else "final "
    style.set_title(ax, f"{final}{metric.title}, {table['is_final'].sum()} of {len(table)} runs")
    explanation = _explain(table, metric)
    yield make_drawing(stem, figure, table, results=results, explanation=explanation, medium=medium)


def _explain(table: pd.DataFrame, metric: Metric) -> str:
    """What the signs mean that occur."""
    parts = ["Point: a run. Box: quartiles and median; whiskers: all finished runs"]
    values, is_final = table["value"], table["is_final"]
    if num := int(_is_beyond(values.to_numpy(np.float64), metric.cap).sum()):
        parts.append(
            f"triangle: above {metric.cap:g}, beyond the axis ({num} of {len(table)} runs)"
        )
    if np.isinf(values).any():
        parts.append("cross: diverged, the worst of all ranks")
    if (values.notna() & ~is_final).any():
        parts.append("ring: so far, not part of the box")
    if _find_censored(table).any():
        parts.append("diamond: stopped as a foretold failure, the value at the stop")
    return "; ".join(parts) + "."


def _list_final_metrics(runs: pd.DataFrame) -> list[str]:
    return [str(c).removeprefix("final.") for c in runs if str(c).startswith("final.")]


def _is_beyond(values: NDArray[np.float64], cap: float | None) -> NDArray[np.bool_]:
    """Which values, (runs,), are numbers beyond the axis."""
    limit = math.inf if cap is None else cap
    return np.isfinite(values) & (values > limit)


def _find_censored(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Which runs were stopped as foretold failures; none in tables of what `eval` found."""
    if "is_censored" not in table:
        return np.zeros(len(table), bool)
    return table["is_censored"].to_numpy(bool)


def _draw_boxes(ax: Axes, table: pd.DataFrame, *, axis: GroupAxis, limits: Limits) -> None:
    final = table[table["is_final"]]
    found = [describe_distribution(final.loc[final["group"] == g, "value"]) for g in axis.names]
    places = [place for place, distribution in enumerate(found) if distribution.n]
    drawn = ax.bxp(
        [_make_box(found[place], limits=limits) for place in places],
        positions=places,
        widths=BOX_WIDTH,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"linewidth": 2.2},
    )
    colours = style.choose_colours(axis)
    for kind, artists in drawn.items():
        per_box = max(1, len(artists) // max(1, len(places)))  # two whiskers, two caps
        for number, artist in enumerate(artists):
            place = places[number // per_box]
            artist.set(color=colours[place], gid=f"{kind}:{place}")
            if kind == "boxes":
                artist.set(facecolor=(colours[place], 0.22))


def _make_box(final: Distribution, *, limits: Limits) -> dict[str, Any]:
    """What `Axes.bxp` draws; an infinite statistic lies at the end of the axis."""
    statistics = {
        "whislo": final.min,
        "q1": final.lower_quartile,
        "med": final.median,
        "q3": final.upper_quartile,
        "whishi": final.max,
    }
    ends = {math.inf: limits.high, -math.inf: limits.low}
    return {name: ends.get(value, value) for name, value in statistics.items()}


def _draw_points(ax: Axes, table: pd.DataFrame, *, axis: GroupAxis, cap: float | None) -> None:
    """Every run; one whose value is no place on the axis is marked at its edge."""
    values = table["value"].to_numpy(np.float64)
    is_final = table["is_final"].to_numpy(bool)
    beyond = _is_beyond(values, cap)
    inside = np.isfinite(values) & ~beyond
    places = table["group"].cat.codes.to_numpy(np.int64)
    x = places + spread_points(table["rand_init"].to_numpy(np.int64))
    colours = np.array(style.choose_colours(axis))[places]
    is_censored = _find_censored(table)
    for gid, chosen in (
        ("final", inside & is_final & ~is_censored),
        ("censored", inside & is_final & is_censored),
        ("so_far", inside & ~is_final),
    ):
        _scatter(ax, x[chosen], values[chosen], colours[chosen], kind=gid)
    edge = ax.get_xaxis_transform()
    for gid, chosen in (("beyond", beyond), ("diverged", np.isinf(values))):
        at_edge = (values[chosen] > 0).astype(float)
        _scatter(ax, x[chosen], at_edge, colours[chosen], kind=gid, transform=edge)


def _scatter(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    colours: NDArray[np.str_],
    *,
    kind: str,
    **options: Any,
) -> None:
    if len(x) > MANY_POINTS and len(np.unique(colours)) > 1:
        for colour in dict.fromkeys(colours.tolist()):
            own = colours == colour
            _scatter(ax, x[own], y[own], colours[own][:1], kind=kind, **options)
        return
    if len(x):
        hollow = kind in ("so_far", "censored")
        ax.scatter(
            x,
            y,
            s=_SIZES.get(kind, 20.0),
            marker=_MARKERS.get(kind, "o"),
            facecolors="none" if hollow else list(colours),
            edgecolors=list(colours) if hollow else "white",
            linewidths=0.7,
            zorder=3,
            clip_on=False,
            gid=kind,
            **options,
        )
