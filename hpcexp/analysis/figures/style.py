"""What all figures share: sizes, colours, and group labels that never overlap."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hpcexp.analysis.groups import GroupAxis

# Okabe & Ito 2008: told apart by readers with any of the common colour vision deficiencies;
# yellow is left out, as it is hard to see on white.
CATEGORICAL = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
LINE_STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
GREY = "#666666"
LIGHT_GREY = "#dddddd"
SMALL, NORMAL, LARGE = 7.0, 8.5, 10.0  # points
MAX_RATIO_WITH_FINE_TICKS = 1000.0

_SEQUENTIAL_RANGE = (0.0, 0.82)  # of viridis: the end is too light on white
_INCHES_PER_GROUP = 0.75
_MIN_WIDTH, _MAX_WIDTH = 4.8, 13.0  # inches
_MARGIN = 0.08  # inches
_LABEL_HEIGHT = 0.5  # inches that labels side by side take
_FILLED_SLOT = 0.94


def make_figure(*, width: float, height: float, num_columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of its own, in inches; without pyplot, so that no global state is touched."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, num_columns, squeeze=False)[0]
    return figure, list(axes)


def choose_width(num_groups: int) -> float:
    """Inches for so many groups side by side."""
    return min(max(_MIN_WIDTH, 1.5 + _INCHES_PER_GROUP * num_groups), _MAX_WIDTH)


def choose_colours(axis: GroupAxis) -> list[str]:
    """One colour per group: light to dark along a numeric axis, distinct ones otherwise."""
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


def as_plain_text(text: str) -> str:
    """What a user wrote, with dollar signs that do not start a formula."""
    return text.replace("$", r"\$")


def label_groups(ax: Axes, axis: GroupAxis, *, notes: Sequence[str]) -> Axes:
    """Write the groups' labels below the axis, with a note (lines of text) under each.

    Side by side where there is room, else turned by 90 degrees; then the figure grows by
    the height that they take.
    """
    labels = [as_plain_text(label) for label in axis.labels]
    beside = [f"{label}\n{note}" for label, note in zip(labels, notes, strict=True)]
    in_one_line = [note.replace("\n", ", ") for note in notes]
    turned = [f"{label}\n{note}" for label, note in zip(labels, in_one_line, strict=True)]
    fits = _fit_side_by_side(ax, beside)
    if not fits:
        _make_room(ax, turned)
    ax.set_xlim(-0.5, len(axis.names) - 0.5)
    ax.set_xticks(
        range(len(axis.names)),
        labels=beside if fits else turned,
        rotation=0 if fits else 90,
        fontsize=NORMAL if fits else SMALL,
        multialignment="center" if fits else "right",
    )
    ax.set_xlabel(as_plain_text(axis.title), fontsize=LARGE)
    ax.tick_params(axis="x", length=0, pad=7)  # clear of a point at 0
    return ax


def add_headline(figure: Figure, question: str) -> None:
    """The experiment's question above everything, wrapped to the width of the figure."""
    if question:
        headline = _wrap(question, figure, fontsize=LARGE)
        figure.suptitle(headline, x=0.01, ha="left", fontsize=LARGE, fontweight="bold")


def set_title(ax: Axes, title: str) -> Axes:
    """What is shown, at the left, clear of what is drawn at the top edge."""
    ax.set_title(as_plain_text(title), loc="left", fontsize=NORMAL, pad=9)
    return ax


def add_footnote(figure: Figure, text: str) -> None:
    """Small print below everything, wrapped to the width of the figure."""
    wrapped = _wrap(text, figure, fontsize=SMALL)
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=SMALL, color=GREY)


def label_log_axis(ax: Axes) -> Axes:
    """Plain numbers; over few decades also at 2 and 5, where decades alone would be too few."""
    low, high = ax.get_ylim()
    few = high / low < MAX_RATIO_WITH_FINE_TICKS
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
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


def _make_room(ax: Axes, turned: Sequence[str]) -> None:
    figure = _get_figure(ax)
    longest = max(_measure(text, figure, fontsize=SMALL)[0] for text in turned)
    figure.set_figheight(figure.get_figheight() + max(0.0, longest - _LABEL_HEIGHT))


def _fit_side_by_side(ax: Axes, texts: Sequence[str]) -> bool:
    figure = _get_figure(ax)
    slot = ax.get_position().width * figure.get_figwidth() / len(texts)
    return max(_measure(text, figure, fontsize=NORMAL)[0] for text in texts) <= _FILLED_SLOT * slot


def _wrap(text: str, figure: Figure, *, fontsize: float) -> str:
    """Break lines to the width of a figure; measured, as the width of letters differs."""
    if not text:
        return ""
    plain = as_plain_text(text)
    width, _ = _measure(plain, figure, fontsize=fontsize)
    room = figure.get_figwidth() - 2 * _MARGIN
    return textwrap.fill(plain, max(20, int(len(plain) * min(1.0, room / width))))


def _measure(text: str, figure: Figure, *, fontsize: float) -> tuple[float, float]:
    """Width and height of a text in inches; bold, the widest."""
    probe = Text(0, 0, text, fontsize=fontsize, fontweight="bold", figure=figure)
    renderer = RendererAgg(1, 1, figure.dpi)  # type: ignore[no-untyped-call]
    extent = probe.get_window_extent(renderer)
    return extent.width / figure.dpi, extent.height / figure.dpi


def _get_figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
