"""Slides: the experiments that are tagged for a meeting, as HTML and as PDF."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from hpcexp.analysis.lab_notebook.pages import render_slides
from hpcexp.analysis.lab_notebook.slides import choose_slides
from hpcexp.analysis.lab_notebook.slides_pdf import find_missing_letters, render_pdf, wrap_anywhere
from hpcexp.analysis.lab_notebook.write import write_slides
from hpcexp.errors import UsageError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.notes import add_note, make_note
from tests.analysis.lab_notebook.conftest import ABSENT, HOSTILE, WIDE
from tests.analysis.lab_notebook.text_of import read_html

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler-utils")


def read_pdf(path: Path) -> list[str]:
    """The text of each page."""
    done = subprocess.run(
        ["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\f")[:-1]


def test_tagged_experiments_are_chosen_in_the_order_of_their_launch(experiments_dir: Path) -> None:
    slides = choose_slides(experiments_dir).slides
    assert [slide.card.name for slide in slides] == [WIDE, ABSENT.replace("drop_out", "batch_norm"),
                                                     ABSENT]  # fmt: skip
    assert [slide.title for slide in slides] == ["how wide must the RNN be?", "batch_norm",
                                                 "drop_out"]  # fmt: skip


def test_a_slide_shows_the_tagged_notes_and_then_the_others(experiments_dir: Path) -> None:
    slide = choose_slides(experiments_dir).slides[0]
    assert [note.text for note in slide.others] == [HOSTILE]
    assert slide.day == date(2022, 1, 3)


def test_notes_since_a_day_count(experiments_dir: Path) -> None:
    assert choose_slides(experiments_dir, since=date(2022, 2, 1)).slides == ()
    add_note(ExperimentDir(experiments_dir / WIDE), make_note("#present_in_meeting\nnew"))
    (slide,) = choose_slides(experiments_dir, since=date(2022, 2, 1)).slides
    assert [note.text for note in slide.tagged] == ["#present_in_meeting\nnew"]


def test_nothing_tagged_is_an_error_that_says_how_to_tag(experiments_dir: Path) -> None:
    with pytest.raises(UsageError, match=r'tagged x: hpcexp note EXP_DIR "\.\.\." --tag x'):
        write_slides(experiments_dir, tag="x")


def test_the_html_has_a_page_for_each_and_an_agenda(experiments_dir: Path) -> None:
    page = render_slides(choose_slides(experiments_dir), pictures={})
    assert page.count('<section class="slide"') == 4
    shown = read_html(page)
    assert "3 experiments, tagged #present_in_meeting" in shown
    assert HOSTILE in shown
    assert "<script>alert" not in page


@needs_poppler
def test_the_pdf_says_question_outcome_and_remarks(experiments_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "slides.pdf"
    written = write_slides(experiments_dir, outputs=[path])
    assert written.experiments[0] == WIDE
    agenda, wide, *others = read_pdf(path)
    assert "3 experiments, tagged #present_in_meeting" in agenda
    assert len(others) == 2
    for text in ("how wide must the RNN be?", WIDE, "16: 0.10 (n = 3)", "half a step out", "try 8"):
        assert text in " ".join(wide.split()), text


@needs_poppler
def test_a_page_that_is_too_full_is_cut_and_says_so(experiments_dir: Path, tmp_path: Path) -> None:
    text = "#present_in_meeting\n" + "\n".join(f"line {i} of many" for i in range(200))
    add_note(ExperimentDir(experiments_dir / WIDE), make_note(text))
    path = tmp_path / "slides.pdf"
    write_slides(experiments_dir, outputs=[path])
    page = read_pdf(path)[1]
    assert "more in the notebook" in page
    assert "line 199" not in page


def test_letters_that_no_font_has_are_named(experiments_dir: Path) -> None:
    add_note(
        ExperimentDir(experiments_dir / WIDE), make_note("#present_in_meeting\n\U00012000 ok é")
    )
    slides = choose_slides(experiments_dir)
    assert "\U00012000" in find_missing_letters(slides)
    assert "é" not in find_missing_letters(slides)
    assert render_pdf(slides, pictures={}).startswith(b"%PDF")


@pytest.mark.filterwarnings("ignore:Glyph")  # measured in matplotlib's own font
def test_text_without_spaces_is_broken_too() -> None:
    lines = wrap_anywhere("更新的次数也越多所以不能说明问题" * 4, width=2, size=12)
    assert len(lines) > 3
    assert "".join(lines) == "更新的次数也越多所以不能说明问题" * 4
    assert len(wrap_anywhere("x" * 300, width=3, size=12)) > 3


def test_dollars_are_no_formulas(experiments_dir: Path) -> None:
    add_note(ExperimentDir(experiments_dir / WIDE), make_note("#present_in_meeting\n$\\frac{ $5"))
    assert render_pdf(choose_slides(experiments_dir), pictures={})
