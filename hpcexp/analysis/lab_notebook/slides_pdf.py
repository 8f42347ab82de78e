"""Slides as PDF, one page each, drawn by matplotlib: neither a browser nor a network is needed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image

from hpcexp.analysis.figures.fonts import (
    find_uncovered,
    has_own_letters,
    using_fonts_for,
)
from hpcexp.analysis.figures.lean_font import OWN_FAMILY
from hpcexp.analysis.figures.page import as_plain_text, measure
from hpcexp.analysis.lab_notebook.cards import Card
from hpcexp.analysis.lab_notebook.diary import nest_text
from hpcexp.analysis.lab_notebook.slides import Slide, Slides

WIDTH, HEIGHT = 13.33, 7.5  # inches: 16 to 9
MARGIN = 0.5
TITLE, SUBTITLE, FOOT = 26.0, 12.0, 10.0  # points
SIZES = (16.0, 14.0, 12.0, 10.5, 9.0)  # of remarks: the largest at which all of them fit
LEADING = 1.35
GREY = "#59636e"
INDENT, MAX_DEPTH = 0.25, 8
_PROBE_SIZE = 72.0
SOURCE_SCALE, BOLD_WIDTH = 0.75, 0.87


@dataclass(frozen=True)
class Passage:
    """A piece of text on a slide; `is_source` says who wrote what stands above."""

    text: str
    depth: int = 0
    is_bold: bool = False
    is_source: bool = False


GAP = Passage("")


def render_pdf(slides: Slides, *, pictures: Mapping[str, bytes]) -> bytes:
    """The slides as a PDF; `pictures` are PNG files by experiment.

    Letters that matplotlib's own font lacks are taken from any font of the system that has them.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}), using_fonts_for(collect_text(slides)):
        _measure_letter.cache_clear()  # they were measured in other fonts
        with PdfPages(buffer, metadata={"CreationDate": None, "Title": "Meeting"}) as pdf:
            pdf.savefig(_draw_agenda(slides))
            for number, slide in enumerate(slides.slides, start=2):
                figure = _draw_slide(slide, picture=pictures.get(slide.card.name))
                page = f"{number} / {len(slides.slides) + 1}"
                _write(figure, page, WIDTH - MARGIN, 0.3, size=FOOT, colour=GREY, align="right")
                pdf.savefig(figure)
    _measure_letter.cache_clear()
    return buffer.getvalue()


def find_missing_letters(slides: Slides) -> str:
    """The letters that no font of this machine has: the PDF shows boxes for them."""
    return find_uncovered(collect_text(slides))


def collect_text(slides: Slides) -> str:
    """Everything that stands on the slides."""
    parts = [
        text
        for slide in slides.slides
        for note in (*slide.tagged, *slide.others)
        for text in (note.text, note.next, note.author)
    ]
    cards = [part for s in slides.slides for part in (s.title, *(s.card.verdicts or ()))]
    return "\n".join([*parts, *cards])


def _draw_agenda(slides: Slides) -> Figure:
    figure = _make_page("Meeting", f"{slides.subtitle}, tagged #{slides.tag}")
    passages = [Passage(f"{i}.  {s.title}") for i, s in enumerate(slides.slides, start=1)]
    _write_block(figure, passages, left=MARGIN, top=HEIGHT - 1.6, width=WIDTH - 2 * MARGIN)
    return figure


def _draw_slide(slide: Slide, *, picture: bytes | None) -> Figure:
    card = slide.card
    about = f"{card.setting}, {card.states}" if card.setting else "not in this directory"
    figure = _make_page(slide.title, f"{card.name}: {about}")
    left = MARGIN
    top = HEIGHT - 1.6
    if picture is not None:
        left += 0.35 + _place(figure, picture, left=MARGIN, top=top, width=7.0, height=top - 0.55)
    passages = [*_describe_outcome(card), *_describe_notes(slide)]
    _write_block(figure, passages, left=left, top=top, width=WIDTH - MARGIN - left)
    return figure


def _make_page(title: str, subtitle: str) -> Figure:
    figure = Figure(figsize=(WIDTH, HEIGHT))
    width = WIDTH - 2 * MARGIN
    lines, size, top = wrap_anywhere(title, width=width, size=TITLE), TITLE, HEIGHT - 0.45
    if len(lines) > 1:  # two lines in the room of one
        lines, size, top = wrap_anywhere(title, width=width, size=TITLE * 0.8), TITLE * 0.8, 7.3
    if len(lines) > 2:
        lines = [lines[0], f"{lines[1]} …"]
    _write(figure, "\n".join(lines), MARGIN, top, size=size)
    _write(figure, subtitle, MARGIN, HEIGHT - 1.1, size=SUBTITLE, colour=GREY)
    return figure


def _describe_outcome(card: Card) -> Iterator[Passage]:
    """The verdicts; the medians where there are none."""
    if card.verdicts:
        yield from (Passage(f"• {verdict}", is_bold=True) for verdict in card.verdicts)
        yield GAP
    elif card.results:
        yield Passage(f"median {card.metric}" + (f" by {card.axis}" if card.axis else ""))
        yield from (Passage(f"{r.label}: {r.median}  (n = {r.n})", 1) for r in card.results)
        if card.num_more_groups:
            yield Passage(f"and {card.num_more_groups} more groups", 1)
        yield GAP


def _describe_notes(slide: Slide) -> Iterator[Passage]:
    for note in (*slide.tagged, *slide.others):
        yield from (Passage(line.text, line.depth) for line in nest_text(note.text))
        if note.next:
            yield Passage(f"next: {' '.join(note.next.split())}", is_bold=True)
        about = f", on {note.run}" if note.run else ""
        yield Passage(f"{note.author or note.source}, {note.created[:10]}{about}", is_source=True)
        yield GAP


def _write_block(
    figure: Figure, passages: Sequence[Passage], *, left: float, top: float, width: float
) -> None:
    """Passages from the top down, in the largest letters in which all of them fit; else cut."""
    room = top - 0.6
    for size in SIZES:
        rows = [row for p in passages for row in _wrap_passage(p, width=width, size=size)]
        num_fitting = int(room / (size * LEADING / 72))
        if len(rows) <= num_fitting:
            break
    if len(rows) > num_fitting:
        rows = [*rows[: num_fitting - 1], Passage("… more in the notebook", is_source=True)]
    for number, row in enumerate(rows):
        y = top - number * size * LEADING / 72
        row_size = size * SOURCE_SCALE if row.is_source else size
        colour = GREY if row.is_source else "black"
        x = left + min(row.depth, MAX_DEPTH) * INDENT
        _write(figure, row.text, x, y, size=row_size, colour=colour, is_bold=row.is_bold)


def _wrap_passage(passage: Passage, *, width: float, size: float) -> list[Passage]:
    """A passage for each of its lines."""
    narrow = width - min(passage.depth, MAX_DEPTH) * INDENT
    # Bold letters are wider than those that are measured.
    narrow *= BOLD_WIDTH if passage.is_bold else 1.0
    letters = size * SOURCE_SCALE if passage.is_source else size
    return [
        replace(passage, text=part)
        for part in wrap_anywhere(passage.text, width=narrow, size=letters)
    ]


def wrap_anywhere(text: str, *, width: float, size: float) -> list[str]:
    """Lines of a width in inches, broken at spaces, or where a script has none, anywhere."""
    lines, line, used = [], "", 0.0
    for word in _split_words(text):
        needed = sum(map(_measure_letter, word)) * size
        if line and used + needed > width + _measure_letter(" ") * size:
            lines.append(line.rstrip())
            line, used = "", 0.0
        line += word
        used += needed
    return [*lines, line.rstrip()]


@cache
def _measure_letter(letter: str) -> float:
    """Inches at a size of one point, as it stands between others.

    To lay out every line that is tried would take seconds for a page.
    """
    between = measure(as_plain_text(f"n{letter}n"), fontsize=_PROBE_SIZE)[0]
    return (between - measure("nn", fontsize=_PROBE_SIZE)[0]) / _PROBE_SIZE


def _split_words(text: str) -> Iterator[str]:
    """Words with the space after them; letters from the Chinese ones on stand alone.

    A word as long as a line is cut, too.
    """
    word = ""
    for letter in text:
        is_wide = ord(letter) >= 0x2E80
        if word and (is_wide or word[-1] == " " or ord(word[-1]) >= 0x2E80 or len(word) > 40):
            yield word
            word = ""
        word += letter
    if word:
        yield word


def _write(
    figure: Figure,
    text: str,
    x: float,
    y: float,
    *,
    size: float,
    colour: str = "black",
    align: str = "left",
    is_bold: bool = False,
) -> None:
    """Text whose top left (or right) corner is at a place in inches from the bottom left.

    Fonts of other scripts are often there in one weight only: their text is never bold.
    """
    is_bold = is_bold and has_own_letters(text)
    figure.text(
        x / WIDTH,
        y / HEIGHT,
        as_plain_text(text),
        fontsize=size,
        fontweight="bold" if is_bold else "normal",
        fontfamily=OWN_FAMILY if is_bold else None,
        color=colour,
        ha=align,
        va="top",
        linespacing=1.15,
    )


def _place(
    figure: Figure, png: bytes, *, left: float, top: float, width: float, height: float
) -> float:
    """A picture as large as it fits into a frame, at the top left; returns its width."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"))
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    w, h = pixels.shape[1] * scale, pixels.shape[0] * scale
    ax = figure.add_axes((left / WIDTH, (top - h) / HEIGHT, w / WIDTH, h / HEIGHT))
    ax.imshow(pixels, interpolation="antialiased")
    ax.axis("off")
    return float(w)
