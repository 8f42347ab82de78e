"""One file per figure. A new one is a function in a file, and a line in `FIGURES`.

A figure function takes the results and the medium that it draws for, and yields drawings: none
where there is nothing to draw yet. The functions that draw take axes and return them, for use in
a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from hpcexp.analysis.figures.boxplot import draw_boxplots
from hpcexp.analysis.figures.curves import draw_loss_curves, draw_metric_curves
from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.importance import draw_importance
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.parallel import draw_parallel_coordinates
from hpcexp.analysis.figures.sampled_axes import draw_sampled_axes
from hpcexp.analysis.figures.success_rate import draw_success_rates
from hpcexp.analysis.figures.tasks import draw_tasks
from hpcexp.analysis.frames import Results


class Figure(Protocol):
    """What draws one kind of figure."""

    def __call__(self, results: Results, *, medium: Medium = SCREEN) -> Iterable[Drawing]:
        """Drawings of the results for a medium."""
        ...


FIGURES: dict[str, Figure] = {
    "boxplots": draw_boxplots,
    "success_rate": draw_success_rates,
    "tasks": draw_tasks,
    "metric_curves": draw_metric_curves,
    "loss_curves": draw_loss_curves,
    "sampled_axes": draw_sampled_axes,
    "parallel_coordinates": draw_parallel_coordinates,
    "importance": draw_importance,
}

SAMPLED_FIGURES = ("sampled_axes", "parallel_coordinates", "importance")
"""Those that a sampled experiment is drawn with by default: a box for each sample says nothing."""
