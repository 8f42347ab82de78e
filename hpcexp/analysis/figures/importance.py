"""How much each sampled axis foretells the metric, with the uncertainty of that."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from hpcexp.analysis.figures import style
from hpcexp.analysis.figures.drawing import Drawing, make_drawing
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import NORMAL, as_plain_text, make_figure, measure
from hpcexp.analysis.frames import Results
from hpcexp.analysis.sampled import is_sampled, make_sample_table
from hpcexp.analysis.sampled.importance import Importance, measure_importance

_AXES_WIDTH, _ROW_HEIGHT, _MIN_HEIGHT = 3.4, 0.3, 1.0  # inches


def draw_importance(results: Results, *, medium: Medium = SCREEN) -> Iterator[Drawing]:
    """One figure, where there are samples enough to learn from."""
    if not is_sampled(results.plan):
        return
    seed = zlib.crc32(results.experiment.name.encode())
    importance = measure_importance(make_sample_table(results), seed=seed)
    if importance is None:
        return
    names = [axis.axis for axis in importance.axes]
    room = max(measure(name, fontsize=NORMAL)[0] for name in names)
    figure, (ax,) = make_figure(
        axes_width=_AXES_WIDTH + room,
        axes_height=max(_MIN_HEIGHT, _ROW_HEIGHT * len(names) + 0.3),
        medium=medium,
    )
    box = ax.get_position()
    share = max(0.0, room - 0.45) / figure.get_figwidth()
    ax.set_position((box.x0 + share, box.y0, box.width - share, box.height))
    draw_importances(ax, importance)
    style.set_title(ax, "what the axes explain")
    yield make_drawing(
        "importance",
        figure,
        pd.DataFrame([dataclasses.asdict(axis) for axis in importance.axes]),
        results=results,
        explanation=explain_importance(importance),
        medium=medium,
    )


def draw_importances(ax: Axes, importance: Importance) -> Axes:
    """A point and its interval for each axis, the most important at the top."""
    colour = style.GREY if importance.explained[1] <= 0 else style.CATEGORICAL[0]
    for place, axis in enumerate(importance.axes):
        ax.plot([axis.low, axis.high], [place] * 2, color=colour, linewidth=1.6, gid="interval")
        ax.plot([axis.value], [place], "o", color=colour, markersize=6, gid="importance")
    ax.axvline(0, color=style.GREY, linewidth=0.8)
    ax.set_yticks(
        range(len(importance.axes)), labels=[as_plain_text(a.axis) for a in importance.axes]
    )
    ax.set_ylim(len(importance.axes) - 0.5, -0.5)
    ax.set_xlabel("explained variance of ranks that is lost without it", fontsize=NORMAL)
    style.tidy(ax)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=style.LIGHT_GREY, linewidth=0.6)
    return ax


def explain_importance(importance: Importance) -> str:
    """What the forest learnt, and whether it supports a ranking."""
    middle, low, high = importance.explained
    said = (
        f"{importance.problem[:1].upper()}{importance.problem[1:]}. " if importance.problem else ""
    )
    return (
        f"{said}n = {importance.num_samples} samples. Random forests on 40 bootstrap samples: "
        "permutation importance on samples that were held out; point: median, line: 5th to 95th "
        f"percentile. R² there: {middle:.2f} [{low:.2f}, {high:.2f}]."
    )
