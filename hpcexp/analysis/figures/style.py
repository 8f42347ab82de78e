"""What all figures share: colours, axes, and group labels that never overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hpcexp.analysis.figures.page import LARGE, NORMAL, SMALL, as_plain_text, measure, wrap
from hpcexp.analysis.groups import GroupAxis

# Okabe & Ito 2008: told apart by readers with any of the common colour vision deficiencies;
# yellow is left out, as it is hard to see on white.
CATEGORICAL = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
LINE_STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
GREY = "#666666"
LIGHT_GREY = "#dddddd"
MAX_RATIO_WITH_FINE_TICKS = 300.0
MAX_LOG_TICKS = 10
MAX_RATIO_LINEAR = 50.0
"""Values that span more than this are drawn on a logarithmic axis."""

_SEQUENTIAL_RANGE = (0.0, 0.82)  # of viridis: the end is too light on white
_LABEL_PAD = 7.0  # points: clear of a point at 0
_FILLED_SLOT = 0.94
_SLOT_OF_TWO_LINES = 0.28  # inches
_MIN_SLOT, _MIN_WIDTH, _MAX_WIDTH = 0.7, 3.6, 12.0  # inches


def choose_colours(axis: GroupAxis) -> list[str]:
    """One colour per group: dark to light along a numeric axis, distinct ones otherwise."""
    num_groups = len(axis.names)
    if not axis.is_numeric or num_groups == 1:
        return [CATEGORICAL[i % len(CATEGORICAL)] for i in range(num_groups)]
    low, high = _SEQUENTIAL_RANGE
    places = [low + (high - low) * i / (num_groups - 1) for i in range(num_groups)]
    return [to_hex(mpl.colormaps["viridis"](place)) for place in places]


def choose_line_styles(axis: GroupAxis) -> list[Any]:
    """One line style per group: they change where distinct colours have been used up."""
    if axis.is_numeric:
        return ["-"] * len(axis.names)
    return [LINE_STYLES[i // len(CATEGORICAL) % len(LINE_STYLES)] for i in range(len(axis.names))]


def choose_axes_width(axis: GroupAxis, notes: Sequence[str]) -> float:
    """Inches in which the labels stand side by side, within reason."""
    widest = max(measure(text, fontsize=NORMAL)[0] for text in join_notes(axis, notes))
    slot = max(_MIN_SLOT, widest / (_FILLED_SLOT - 0.01))
    side_by_side = max(len(notes) * slot, _MIN_WIDTH)
    turned = max(len(notes) * _MIN_SLOT, _MIN_WIDTH)
    return side_by_side if side_by_side <= _MAX_WIDTH else min(turned, _MAX_WIDTH)


def label_groups(
    ax: Axes, axis: GroupAxis, *, notes: Sequence[str], turned: Sequence[str] | None = None
) -> Axes:
    """Write the groups' labels below the axis, with a note (lines of text) under each.

    Side by side where the axes, as wide as they are now, have room; else turned by 90
    degrees, with the note in one line, beside the label where lines are too close for two.
    `turned` are shorter notes for then.
    """
    beside = join_notes(axis, notes)
    figure = ax.get_figure(root=True)
    assert figure is not None
    slot = ax.get_position().width * figure.get_figwidth() / len(beside)
    fits = max(measure(text, fontsize=NORMAL)[0] for text in beside) <= _FILLED_SLOT * slot
    flat = [note.replace("\n", ", ") for note in turned or notes]
    upright = join_notes(axis, flat, between="\n" if slot >= _SLOT_OF_TWO_LINES else "  ")
    ax.set_xlim(-0.5, len(beside) - 0.5)
    ax.set_xticks(
        range(len(beside)),
        labels=beside if fits else upright,
        rotation=0 if fits else 90,
        multialignment="center" if fits else "right",
    )
    ax.tick_params(axis="x", length=0, pad=_LABEL_PAD, labelsize=NORMAL if fits else SMALL)
    ax.set_xlabel(as_plain_text(axis.title), fontsize=LARGE)
    return ax


def join_notes(axis: GroupAxis, notes: Sequence[str], *, between: str = "\n") -> list[str]:
    """Labels with their notes below, or after what stands between."""
    pairs = zip(axis.labels, notes, strict=True)
    return [f"{as_plain_text(label)}{between}{note}" for label, note in pairs]


def set_title(ax: Axes, title: str) -> Axes:
    """What is shown, at the left, clear of what is drawn at the top edge; wrapped to the axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    width = ax.get_position().width * figure.get_figwidth()
    text = wrap(title, width=width, fontsize=NORMAL)
    # With its height given, matplotlib need not lay out all ticks twice more to find the same one.
    ax.set_title(text, loc="left", fontsize=NORMAL, pad=9, y=1.0)
    return ax


def label_log_axis(ax: Axes) -> Axes:
    """Plain numbers; over few decades also at 2 and 5, where decades alone would be too few."""
    low, high = ax.get_ylim()
    few = high / low < MAX_RATIO_WITH_FINE_TICKS
    ax.yaxis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=MAX_LOG_TICKS)
    )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return ax


def draw_threshold(ax: Axes, value: float) -> Axes:
    """A dashed line below which a run is a success, named at the right."""
    ax.axhline(value, color=GREY, linewidth=1, linestyle="--", zorder=1.5, gid="threshold")
    ax.annotate(
        f"success\n< {value:g}",
        xy=(1, value),
        xycoords=ax.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=SMALL,
        color=GREY,
        va="center",
    )
    return ax


def tidy(ax: Axes) -> Axes:
    """Light horizontal lines, no frame but the axes."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=LIGHT_GREY, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="both", labelsize=NORMAL)
    return ax
