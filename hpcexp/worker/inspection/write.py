"""Findings as files: PNG, GIF and CSV, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hpcexp.train.inspection import Animation, Curves, Findings, ImageGrid, Part, Table

PathOf = Callable[[str, str], Path]
"""From a part's name and a suffix to its file."""


def render_findings(findings: Findings, *, path_of: PathOf, headline: str) -> dict[Path, bytes]:
    """The contents of the files of all parts; the slow half of the work."""
    return {
        path_of(name, find_suffix(part)): render_part(part, headline=headline)
        for name, part in findings.parts.items()
    }


def make_number_table(findings: Findings) -> Table:
    """The numbers of one run as a table of one row."""
    return Table({name: [value] for name, value in findings.numbers.items()})


def find_suffix(part: Part) -> str:
    """What a part's file is: png, gif or csv."""
    if isinstance(part, Animation):
        return "gif"
    return "csv" if isinstance(part, Table) else "png"


def render_part(part: Part, *, headline: str) -> bytes:
    """The file of one part; drawing libraries are loaded for what they draw."""
    if isinstance(part, Table):
        return render_table(part.columns)
    if isinstance(part, Curves):
        from hpcexp.worker.inspection.curves import render_curves

        return render_curves(part, headline=headline)
    from hpcexp.worker.inspection.images import render_animation, render_grid

    if isinstance(part, ImageGrid):
        return render_grid(part, headline=headline)
    return render_animation(part, headline=headline)


def render_table(columns: Mapping[str, Sequence[float | int | str]]) -> bytes:
    """CSV; what is not a number is empty, as pandas reads and writes it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow("" if isinstance(v, float) and math.isnan(v) else v for v in row)
    return buffer.getvalue().encode()
