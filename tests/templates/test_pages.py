"""The pages about the templates: their table, their command, their example."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from hpcexp.template import load_template
from tests.docs.snippets import make_place, read_snippets, run_snippet
from tests.templates.catalogue import (
    PROJECT_DIR,
    TEMPLATES_DIR,
    get_path,
    list_notebook,
    list_open,
    read_remark,
)

PAGE = PROJECT_DIR / "docs" / "notebook.md"


@cache
def read_rows() -> dict[str, list[str]]:
    """Cells of the tables of the page by template."""
    rows: dict[str, list[str]] = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| [`"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            name = cells[0].partition("`")[2].partition("`")[0]
            assert name not in rows
            rows[name] = cells[1:]
    return rows


def test_the_page_lists_every_template_of_the_notebook_and_of_its_open_list() -> None:
    assert sorted(read_rows()) == sorted([*list_notebook(), *list_open()])


@pytest.mark.parametrize("name", [*list_notebook(), *list_open()])
def test_a_row_of_the_page_says_what_the_template_says(name: str) -> None:
    template = load_template(get_path(name))
    cells = read_rows()[name]
    assert template.question in cells
    assert f"{len(template.groups())} × {template.rand_inits}" in cells
    if name in list_notebook():
        assert read_remark(name, about="Concluded:").removeprefix("Concluded: ") in cells
        assert read_remark(name, about="Flaw").partition(": ")[2] == cells[-1]


def test_the_command_of_the_page_works(tmp_path: Path) -> None:
    (snippet,) = read_snippets(PAGE)
    shown = run_snippet(snippet, directory=make_place(tmp_path))
    assert "2 groups x 1 initialisation = 2 runs" in shown


def test_the_example_of_the_guide_is_a_template(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", (TEMPLATES_DIR / "README.md").read_text(), re.DOTALL)
    assert example is not None
    shutil.copytree(TEMPLATES_DIR / "base", tmp_path / "base")
    path = tmp_path / "own.yaml"
    path.write_text(example[1])
    assert load_template(path).num_runs == 20
