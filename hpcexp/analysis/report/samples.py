"""Sampled axes on the page: their figures as pictures, and the best samples."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl

from hpcexp.analysis.figures import FIGURES, SAMPLED_FIGURES
from hpcexp.analysis.figures.drawing import Drawing, collect_text
from hpcexp.analysis.figures.fonts import using_fonts_for
from hpcexp.analysis.figures.media import Medium
from hpcexp.analysis.findings import Findings
from hpcexp.analysis.frames import Results
from hpcexp.analysis.sampled import is_sampled, make_best_table

_PIXELS_PER_INCH = 96
_PAGE = Medium("page", has_words=False)  # the page says the words
_NAMES = {
    "sampled_axes": "Each axis against the metric",
    "parallel_coordinates": "The values of all samples as lines",
    "importance": "How much each axis explains",
}


@dataclass(frozen=True)
class SampleFigure:
    """A figure as a `data:` address, with its size in CSS pixels."""

    address: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Samples:
    """Figures, and the table of the best samples with its header as the first row."""

    figures: Sequence[SampleFigure]
    best: Sequence[Sequence[str]]


def collect_samples(results: Results, findings: Findings) -> Samples | None:
    """What the page shows of sampled axes; None where there are none, or no results yet."""
    if not is_sampled(results.plan) or findings.sampled is None or results.is_empty:
        return None
    has_best = bool(findings.sampled.best)
    best = make_best_table(findings.sampled, metric=findings.metric.title) if has_best else ()
    with using_fonts_for(collect_text(results.plan, results.group_axis)):
        return Samples(tuple(_draw(results)), best)


def _draw(results: Results) -> Iterator[SampleFigure]:
    for name in SAMPLED_FIGURES:
        for drawing in FIGURES[name](results, medium=_PAGE):
            width, height = drawing.figure.get_size_inches().tolist()
            yield SampleFigure(
                address=_encode(drawing),
                alt=_NAMES[name],
                caption=drawing.caption.partition(f"{results.experiment.name}. ")[2],
                width=round(width * _PIXELS_PER_INCH),
                height=round(height * _PIXELS_PER_INCH),
            )


def _encode(drawing: Drawing) -> str:
    """As SVG with its letters as outlines: the same on every machine, and the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": drawing.stem}):
        drawing.figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
