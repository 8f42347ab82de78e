"""A figure together with the table it shows, and how both reach the disk."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from hpcexp.analysis.figures.csv_text import write_csv
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.figures.page import PNG_DPI, finish_page, make_caption
from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import GroupAxis
from hpcexp.store.experiment import Plan
from hpcexp.store.files import write_bytes

# TrueType (42) instead of Type 3: text stays text, and publishers accept it.
_PDF_FONT_TYPE: Final = 42
# No dates: the same results give the same bytes.
_METADATA: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "png": {}}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, the tidy table behind it, and the stem of their files' names.

    `caption` is what belongs to a figure that stands without words of its own, as in a paper.
    """

    stem: str
    figure: Figure
    table: pd.DataFrame
    caption: str = ""
    dpi: float = PNG_DPI


def save_drawing(drawing: Drawing, *, plots_dir: Path) -> tuple[Path, ...]:
    """Write PDF (fonts embedded), PNG, CSV, and a caption if it has one; each whole or not."""
    return write_files(render_drawing(drawing), plots_dir=plots_dir)


def render_drawing(drawing: Drawing) -> dict[str, bytes]:
    """The files of a drawing by name, the PDF first."""
    texts = {"csv": write_csv(drawing.table)}
    if drawing.caption:
        texts["txt"] = f"{drawing.caption}\n"
    return {
        f"{drawing.stem}.pdf": render_figure(drawing.figure, "pdf"),
        f"{drawing.stem}.png": render_figure(drawing.figure, "png", dpi=drawing.dpi),
        **{
            f"{drawing.stem}.{suffix}": text.encode("utf-8", errors="backslashreplace")
            for suffix, text in texts.items()
        },
    }


def write_files(files: Mapping[str, bytes], *, plots_dir: Path) -> tuple[Path, ...]:
    """Write files by name, each whole or not."""
    plots_dir.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(plots_dir / name, content)
    return tuple(plots_dir / name for name in files)


def render_figure(figure: Figure, suffix: str, *, dpi: float = PNG_DPI) -> bytes:
    """The bytes of a figure as `pdf` or `png`; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": _PDF_FONT_TYPE}):
        figure.savefig(buffer, format=suffix, dpi=dpi, metadata=_METADATA[suffix])
    return buffer.getvalue()


def make_drawing(
    stem: str,
    figure: Figure,
    table: pd.DataFrame,
    *,
    results: Results,
    explanation: str,
    medium: Medium = SCREEN,
) -> Drawing:
    """Finish a figure with the question and what its signs mean, or have them as its caption."""
    headline = make_headline(results)
    footnote = f"{results.experiment.name}. {explanation}"
    finish_page(figure, headline=headline, footnote=footnote, medium=medium)
    caption = make_caption(headline=headline, footnote=footnote, medium=medium)
    return Drawing(stem, figure, table, caption, medium.dpi)


def make_headline(results: Results) -> str:
    """The question that was asked; without one, the name and what was varied."""
    plan, title = results.plan, results.group_axis.title
    return plan.question or (f"{plan.name}: {title}" if title else plan.name)


def collect_text(plan: Plan, axis: GroupAxis) -> str:
    """What people wrote that stands in the figures of an experiment, in whatever script."""
    return "\n".join([plan.question, plan.name, axis.title, *axis.labels])
