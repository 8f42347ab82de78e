"""The examples of docs/templates.md do what the text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcexp.grid import spell_value
from tests.template.conftest import Load

DOCS_DIR = Path(__file__).parents[2] / "docs"
TEXT = (DOCS_DIR / "templates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


def read_examples(page: str) -> list[str]:
    text = (DOCS_DIR / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", ["datasets", "symmetry", "losses", "training", "trackers"])
def test_the_examples_of_the_other_pages_are_good_templates(page: str, load: Load) -> None:
    examples = read_examples(page)
    assert examples
    assert all(load(example).num_runs == 1 for example in examples)


def test_the_example_of_the_statistics_page_is_a_good_template(load: Load) -> None:
    (example,) = read_examples("statistics")
    assert load(example).comparison.baseline == "batch_size=32"


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_good_template(example: str, load: Load) -> None:
    assert load(example).num_runs >= 1


def test_the_first_example_has_as_many_runs_as_the_text_says(load: Load) -> None:
    assert load(EXAMPLES[0]).num_runs == 60
    assert load(EXAMPLES[0], profile="smoke").num_runs == 2


def test_names_are_spelled_as_the_table_says() -> None:
    values = ["48", "true", "", "a b/c", "ReLU", [64, 128], {"kind": "trivial"}]
    assert all(f"`{spell_value(value)}`" in TEXT for value in values)
