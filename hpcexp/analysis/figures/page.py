"""The page around the axes: headline, footnote and margins, in inches.

Margins follow from measured texts. matplotlib's own layout engines draw a figure several
times to find them, which takes longer than everything else here.
"""

from __future__ import annotations

import textwrap
from functools import lru_cache

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from hpcexp.analysis.figures.media import SCREEN, Medium

SMALL, NORMAL, LARGE = 7.0, 8.5, 10.5  # points
LEFT = 0.78
RIGHT = 0.15
THRESHOLD_WIDTH = 0.5
_GREY = "#666666"
_PAD = 0.09
_TITLE_GAP = 0.13  # between the title and the axes
_MIN_AXES_HEIGHT = 1.0
_LABEL_BEYOND = 0.5  # a label may be so much longer than its axis
PNG_DPI = 150.0  # texts are measured as they are drawn: hinting makes widths depend on it


def make_figure(
    *,
    axes_width: float,
    axes_height: float,
    right: float = RIGHT,
    num_columns: int = 1,
    medium: Medium = SCREEN,
) -> tuple[Figure, list[Axes]]:
    """Axes of a given size side by side; without pyplot, so that no global state is touched.

    `right` is what stands to the right of the last axes. A medium that has a size of its own
    changes that of the axes. Call `finish_page` when all is drawn.
    """
    width = medium.choose_width(num_columns * (LEFT + axes_width) + right)
    axes_width = (width - right) / num_columns - LEFT
    figure = Figure(figsize=(width, axes_height * medium.axes_share), dpi=PNG_DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, num_columns, squeeze=False)[0]
    for column, ax in enumerate(axes):
        left = LEFT + column * (LEFT + axes_width)
        ax.set_position((left / width, 0, axes_width / width, 1))
    return figure, list(axes)


def finish_page(figure: Figure, *, headline: str, footnote: str, medium: Medium = SCREEN) -> Figure:
    """Write the headline and the footnote, and make the figure as high as all of it is.

    A slide has a height: there the axes get what the words leave.
    """
    width, axes_height = figure.get_figwidth(), figure.get_figheight()
    if not medium.has_words:
        headline = footnote = ""
    elif medium.aspect is not None:
        footnote = ""  # too small to be read from afar
    headline = wrap(headline, width=width - 2 * _PAD, fontsize=LARGE)
    footnote = wrap(footnote, width=width - 2 * _PAD, fontsize=SMALL)
    headline_height = measure(headline, fontsize=LARGE)[1] + _PAD if headline else 0.0
    titles = [measure(ax.get_title(loc="left"), fontsize=NORMAL)[1] for ax in figure.axes]
    top = headline_height + max(titles) + _TITLE_GAP + 2 * _PAD
    below = max(_measure_below(ax) for ax in figure.axes)
    bottom = below + measure(footnote, fontsize=SMALL)[1] + 3 * _PAD
    if medium.aspect is not None:
        axes_height = max(_MIN_AXES_HEIGHT, width * medium.aspect - top - bottom)
    height = top + axes_height + bottom
    figure.set_figheight(height)
    for ax in figure.axes:
        place = ax.get_position()
        ax.set_position((place.x0, bottom / height, place.width, axes_height / height))
        _fit_value_label(ax, room=axes_height + _LABEL_BEYOND)
    side = _PAD / width
    figure.text(side, 1 - _PAD / height, headline, va="top", fontsize=LARGE, gid="headline")
    figure.text(side, _PAD / height, footnote, fontsize=SMALL, color=_GREY, gid="footnote")
    return figure


def _fit_value_label(ax: Axes, *, room: float) -> None:
    """In one line where there is room, else in smaller letters, and then in two."""
    label = ax.get_ylabel().replace("\n", " ")
    fits = measure(label, fontsize=NORMAL)[0] <= room
    size = NORMAL if fits else SMALL
    ax.set_ylabel(wrap(label, width=room, fontsize=size) if not fits else label, fontsize=size)


def make_caption(*, headline: str, footnote: str, medium: Medium) -> str:
    """The words of a figure that has none itself, or not all; empty where all stand in it."""
    if not medium.has_words:
        return " ".join(filter(None, [headline, footnote]))
    return footnote if medium.aspect is not None else ""


def as_plain_text(text: str) -> str:
    """What a user wrote, with dollar signs that do not start a formula."""
    return text.replace("$", r"\$")


def wrap(text: str, *, width: float, fontsize: float) -> str:
    """Break lines to a width in inches; measured, as the width of letters differs."""
    if not text:
        return ""
    plain = text if r"\$" in text else as_plain_text(text)  # it may come again
    share = min(1.0, 0.96 * width / measure(plain, fontsize=fontsize)[0])
    limit = max(20, int(len(plain) * share))
    while True:
        wrapped = textwrap.fill(plain, limit)
        if limit <= 20 or measure(wrapped, fontsize=fontsize)[0] <= 0.98 * width:
            return wrapped
        limit -= 1  # a line of wide letters


@lru_cache(maxsize=4096)
def measure(text: str, *, fontsize: float) -> tuple[float, float]:
    """Width and height of a text in inches."""
    if not text:
        return 0.0, 0.0
    probe = Text(0, 0, text, fontsize=fontsize, figure=Figure(dpi=PNG_DPI))
    renderer = RendererAgg(1, 1, PNG_DPI)  # type: ignore[no-untyped-call]
    extent = probe.get_window_extent(renderer)
    return extent.width / PNG_DPI, extent.height / PNG_DPI


def _measure_below(ax: Axes) -> float:
    """How far the tick labels and the axis label reach below the axes."""
    renderer = RendererAgg(1, 1, PNG_DPI)  # type: ignore[no-untyped-call]
    extent = ax.xaxis.get_tightbbox(renderer)
    return 0.0 if extent is None else float(ax.get_window_extent().y0 - extent.y0) / PNG_DPI
