"""A notebook of text, imported and rendered again: no line is lost, as HTML or as Markdown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hpcexp.analysis.lab_notebook.diary import read_diary
from hpcexp.analysis.lab_notebook.markdown import render_markdown
from hpcexp.analysis.lab_notebook.pages import render_notebook
from hpcexp.store.notebook.imported import import_notebook
from tests.analysis.lab_notebook.text_of import read_html, read_markdown
from tests.store.notebook.notebooks import NOTEBOOKS, read_exactly


def list_said(path: Path) -> Counter[str]:
    """What the lines of a notebook say, with how often; without braces of blocks."""
    lines = [" ".join(line.split()) for line in read_exactly(path).split("\n")]
    return Counter(line for line in lines if line and not is_frame(line))


def is_frame(line: str) -> bool:
    """Whether a line is the heading or the end of a block (some are parts; tested below)."""
    return line == "}" or line.endswith("{")


def list_headings(path: Path) -> list[str]:
    raw = read_exactly(path).split("\n")
    return [line[: line.rindex("{")].strip() for line in raw if line[:1].strip() and "{" in line]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["html", "markdown"])
def test_no_line_is_lost(path: Path, kind: str, tmp_path: Path) -> None:
    import_notebook(path, experiments_dir=tmp_path, name="kept")
    diary = read_diary(tmp_path)
    if kind == "html":
        shown = read_html(render_notebook(diary, title="tests", pictures={}))
    else:
        shown = read_markdown(render_markdown(diary, pictures={}, beside=tmp_path))
    assert list_said(path) - Counter(shown) == Counter()
    headings = [line.split(" (kept, line ")[0] for line in shown if " (kept, line " in line]
    assert Counter(h for h in list_headings(path) if h) - Counter(headings) == Counter()


def test_lines_stand_in_their_order_and_depth(tmp_path: Path) -> None:
    import_notebook(NOTEBOOKS[0], experiments_dir=tmp_path)
    blocks = [block for day in read_diary(tmp_path).days for block in day.blocks]
    (setup,) = [block for block in blocks if block.heading == "12/30"]
    assert [(line.depth, line.text) for line in setup.lines] == [
        (0, "set up {"),
        (1, "node with {8, 16} cores"),
        (1, "if (it hangs) {"),
        (2, "restart"),
        (1, "} else {"),
        (2, "wait"),
        (1, "}"),
        (0, "}"),
        (0, "tabs here"),
        (1, "and deeper"),
    ]


def test_the_check_sees_a_line_that_is_lost(tmp_path: Path) -> None:
    import_notebook(NOTEBOOKS[0], experiments_dir=tmp_path)
    page = render_notebook(read_diary(tmp_path), title="tests", pictures={})
    shown = read_html(page.replace("half a step out", ""))
    assert list_said(NOTEBOOKS[0]) - Counter(shown) == Counter({"half a step out": 1})
