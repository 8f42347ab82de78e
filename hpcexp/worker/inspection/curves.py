"""Curves in panels, without pyplot: no global state is touched.

Colours are those of `hpcexp plot` (Okabe & Ito 2008).
"""

from __future__ import annotations

import io
import textwrap
import warnings

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpcexp.train.inspection import Curves

STYLES = (
    {"color": "#0072B2", "linestyle": "-", "linewidth": 1.6},
    {"color": "#D55E00", "linestyle": "--", "linewidth": 1.6, "marker": "o", "markersize": 2.5},
    {"color": "#009E73", "linestyle": ":", "linewidth": 1.6},
    {"color": "#CC79A7", "linestyle": "-.", "linewidth": 1.6},
)
PANEL_WIDTH, PANEL_HEIGHT = 2.6, 1.6  # inches
DPI = 130
LETTER_WIDTH = 0.08  # inches, of a wide letter: a line of the heading stays within the page
_SMALL, _NORMAL = 7.5, 9.0  # points
_GREY, _LIGHT_GREY = "#666666", "#dddddd"


def render_curves(curves: Curves, *, headline: str) -> bytes:
    """A PNG of the panels; `headline` says whose they are."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A script that the font lacks is drawn as boxes: no reason to fill a terminal.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw_curves(curves, headline=headline).savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def draw_curves(curves: Curves, *, headline: str) -> Figure:
    """The figure: a panel for each row and column, one legend for all."""
    num_rows, num_columns = len(curves.panels), len(curves.panels[0])
    figure = Figure(
        figsize=(max(num_columns * PANEL_WIDTH, 4.5) + 0.7, num_rows * PANEL_HEIGHT + 1.15),
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey="row")
    names = list(
        dict.fromkeys(line.name for row in curves.panels for panel in row for line in panel)
    )
    styles = {name: STYLES[place % len(STYLES)] for place, name in enumerate(names)}
    for row, panels in enumerate(curves.panels):
        for column, lines in enumerate(panels):
            ax = grid[row][column]
            for line in lines:
                style = styles[line.name]
                ax.plot(line.x_S, line.y_S, label=line.name, gid=line.name, **style)
            _finish_panel(ax, curves, is_first=(row, column) == (0, 0))
        grid[row][0].set_ylabel(_plain(curves.row_labels[row]), fontsize=_NORMAL)
    for column, label in enumerate(curves.column_labels):
        grid[0][column].set_title(_plain(label), fontsize=_NORMAL, loc="left", pad=12)
        grid[-1][column].set_xlabel(curves.x_label, fontsize=_NORMAL)
    figure.align_ylabels(grid[:, 0])
    lines_of_text = [
        line
        for text in (headline, curves.title)
        for line in textwrap.wrap(
            text, int(figure.get_figwidth() / LETTER_WIDTH), break_on_hyphens=False
        )
    ]
    figure.suptitle(_plain("\n".join(lines_of_text)), fontsize=_NORMAL, x=0.01, ha="left")
    handles, labels = grid[0][0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(
            handles,
            labels,
            loc="outside lower left",
            ncols=len(labels),
            frameon=False,
            fontsize=_NORMAL,
        )
    return figure


def _finish_panel(ax: Axes, curves: Curves, *, is_first: bool) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=_LIGHT_GREY, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=_SMALL)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if curves.mark_x is None:
        return
    ax.axvline(curves.mark_x, color=_GREY, linewidth=0.9, gid="mark")
    if is_first:
        _label_mark(ax, curves.mark_x, curves.mark_label)


def _label_mark(ax: Axes, x: float, label: str) -> None:
    """Beside the mark, on the side with more room; no panel gives way to it."""
    left, right = ax.get_xlim()
    is_right_half = x - left > right - x
    ax.annotate(
        label,
        xy=(x, 1),
        xycoords=ax.get_xaxis_transform(),
        xytext=(-2 if is_right_half else 2, 2),
        textcoords="offset points",
        ha="right" if is_right_half else "left",
        fontsize=_SMALL,
        color=_GREY,
        gid="mark_label",
    ).set_in_layout(False)


def _plain(text: str) -> str:
    """Dollar signs of a name start no formula."""
    return text.replace("$", r"\$")
