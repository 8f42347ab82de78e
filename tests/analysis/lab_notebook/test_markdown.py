"""Text that people wrote means itself in Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcexp.analysis.lab_notebook.markdown import escape
from tests.analysis.lab_notebook.text_of import read_markdown


@pytest.mark.parametrize(
    "text",
    ["*a*", "_a_ b_c __d__", "~~no~~ ~5", "1. one", "2) two", "+ plus", "- minus", "# no heading",
     "> no quotation", "===", "---", "`code`", "<b>", "a|b", "[x](y)", "![x](y)", "&amp; &lt;",
     "\\*", "$5 and $6", "***", "~~~", "https://example.org/a_b*c?d=1&e", "| a | b |", "10.5 is"],
)  # fmt: skip
def test_signs_of_markdown_mean_themselves(text: str) -> None:
    assert read_markdown(f"- {escape(text)}") == [text]


@given(st.text(st.sampled_from("ab 1_*~`<>[]()#+-=.!|$&\\\"'{}:/"), min_size=1))
def test_any_text_means_itself(text: str) -> None:
    said = " ".join(text.split())
    assert " ".join(read_markdown(f"- {escape(text.strip())}")) == said


def test_names_stay_readable() -> None:
    assert escape("2022_m12_d13@16_26_35_xj_batch_size") == "2022_m12_d13@16_26_35_xj_batch_size"
