"""The figure of an experiment: drawn once, and again when more is known."""

from __future__ import annotations

import io

from PIL import Image

from hpcexp.analysis.figures.boxplot import draw_boxplots
from hpcexp.analysis.figures.drawing import collect_text, render_figure
from hpcexp.analysis.figures.fonts import using_fonts_for
from hpcexp.analysis.frames import load
from hpcexp.analysis.lab_notebook.cards import Card
from hpcexp.errors import HpcexpError
from hpcexp.store.files import write_bytes
from hpcexp.store.layout import ExperimentDir, NotebookDir

NUM_COLOURS = 64  # enough for lines and boxes; a page with a thousand figures stays small
DPI = 150.0


def get_picture(card: Card, *, place: NotebookDir) -> bytes | None:
    """The primary metric's boxplot as PNG; None where there is nothing to draw.

    It is kept in the notebook's directory where that can be written.
    """
    experiment = card.experiment
    if experiment is None:
        return None
    kept = _read_kept(card, experiment, place)
    if kept is not None:
        return kept
    picture = _draw(experiment)
    if picture is not None:
        _keep(picture, experiment, place)
    return picture


def _read_kept(card: Card, experiment: ExperimentDir, place: NotebookDir) -> bytes | None:
    """The picture that is kept, if all runs had ended when it was drawn."""
    path = place.figure_path(experiment.name)
    try:
        if card.is_settled and path.stat().st_mtime > experiment.summary_path.stat().st_mtime:
            return path.read_bytes()
    except OSError:
        pass
    return None


def _keep(picture: bytes, experiment: ExperimentDir, place: NotebookDir) -> None:
    path = place.figure_path(experiment.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, picture)
    except OSError:  # somebody else's experiments: it is drawn again next time
        pass


def _draw(experiment: ExperimentDir) -> bytes | None:
    try:
        # Of an archive the notebook has unpacked no more than its words.
        results = load(experiment.archive or experiment)
        with using_fonts_for(collect_text(results.plan, results.group_axis)):
            drawing = next(iter(draw_boxplots(results)), None)
            return None if drawing is None else _shrink(render_figure(drawing.figure, "png"))
    except HpcexpError:  # the card says what is known all the same
        return None


def _shrink(png: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB").quantize(NUM_COLOURS)
        small.save(buffer, format="png", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()
