"""A figure together with the table it shows, and how both reach the disk."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from hpcexp.analysis.figures.page import PNG_DPI
from hpcexp.store.files import write_bytes, write_text

# TrueType (42) instead of Type 3: text stays text, and publishers accept it.
_PDF_FONT_TYPE: Final = 42
# No dates: the same results give the same bytes.
_METADATA: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "png": {}}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, the tidy table behind it, and the stem of their files' names."""

    stem: str
    figure: Figure
    table: pd.DataFrame


def save_drawing(drawing: Drawing, *, plots_dir: Path) -> tuple[Path, ...]:
    """Write PDF (fonts embedded), PNG and CSV, each whole or not at all."""
    plots_dir.mkdir(exist_ok=True)
    paths = [plots_dir / f"{drawing.stem}.{suffix}" for suffix in ("pdf", "png", "csv")]
    pdf_path, png_path, csv_path = paths
    write_bytes(pdf_path, render_figure(drawing.figure, "pdf"))
    write_bytes(png_path, render_figure(drawing.figure, "png"))
    write_text(csv_path, drawing.table.to_csv(index=False))
    return tuple(paths)


def render_figure(figure: Figure, suffix: str) -> bytes:
    """The bytes of a figure as `pdf` or `png`; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": _PDF_FONT_TYPE}):
        figure.savefig(buffer, format=suffix, dpi=PNG_DPI, metadata=_METADATA[suffix])
    return buffer.getvalue()
