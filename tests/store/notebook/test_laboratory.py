"""The laboratory's text format: every line is kept, days are found, and faults are named."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcexp.errors import UsageError
from hpcexp.store.notebook.laboratory import parse_notebook, render_text
from tests.store.notebook.notebooks import NOTEBOOKS, OWN_PATH, read_exactly


def parse_days(text: str, *, year: int | None = None) -> dict[str, date | None]:
    return {block.heading: block.day for block in parse_notebook(text, path="lab.txt", year=year)}


def make_blocks(*headings: str) -> str:
    return "".join(f"{heading} {{\n    a remark\n}}\n" for heading in headings)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_blocks_rendered_again_are_the_text(path: str) -> None:
    text = read_exactly(path)
    assert render_text(parse_notebook(text, path="lab.txt")) == text


def test_blocks_have_headings_and_days() -> None:
    blocks = parse_notebook(read_exactly(OWN_PATH), path="lab.txt")
    assert [(block.heading, block.day) for block in blocks] == [
        ("", None),
        ("2021/11/28", date(2021, 11, 28)),
        ("12/30", date(2021, 12, 30)),
        ("1/3 meeting", date(2022, 1, 3)),
        ("1", date(2022, 1, 1)),
        ("todo", None),
        ("if", None),
    ]


def test_what_has_no_date_belongs_to_the_day_before_it() -> None:
    blocks = parse_notebook(make_blocks("2022/4/13", "next", "4/20"), path="lab.txt")
    assert [block.sort_day for block in blocks] == [
        date(2022, 4, 13),
        date(2022, 4, 13),
        date(2022, 4, 20),
    ]


def test_parts_of_a_block_nest_and_braces_within_lines_mean_nothing() -> None:
    block = parse_notebook(read_exactly(OWN_PATH), path="lab.txt")[2]
    assert [line.text for line in block.lines][:2] == ["set up {", "node with {8, 16} cores"]
    assert "and deeper" in [line.text for line in block.lines]


def test_the_year_goes_on_from_december_to_january() -> None:
    assert parse_days(make_blocks("2021/12/30", "1/2", "5/1", "11/9", "1/1")) == {
        "2021/12/30": date(2021, 12, 30),
        "1/2": date(2022, 1, 2),
        "5/1": date(2022, 5, 1),
        "11/9": date(2022, 11, 9),
        "1/1": date(2023, 1, 1),
    }


def test_the_newest_day_may_stand_first() -> None:
    assert parse_days(make_blocks("2022/1/2", "12/30")) == {
        "2022/1/2": date(2022, 1, 2),
        "12/30": date(2021, 12, 30),
    }


def test_a_day_that_is_a_little_out_of_order_begins_no_year() -> None:
    assert parse_days(make_blocks("2022/9/27", "8/30", "10/1"))["10/1"] == date(2022, 10, 1)


def test_the_year_is_inferred_from_the_name_of_an_experiment() -> None:
    text = "1/2 {\n    2022_m12_d30@10_00_00_tr\n        good\n}\n"
    assert parse_days(text) == {"1/2": date(2023, 1, 2)}


def test_the_year_of_the_first_date_can_be_given() -> None:
    assert parse_days(make_blocks("12/30", "1/2"), year=2020)["1/2"] == date(2021, 1, 2)


def refuse(text: str) -> str:
    with pytest.raises(UsageError) as refused:
        parse_notebook(text, path="lab.txt")
    return str(refused.value)


def test_a_block_that_is_not_closed_is_named_with_its_line_and_the_next_one() -> None:
    assert refuse("2022/12/13 {\n    a\n12/14 {\n    b\n}\n") == (
        "lab.txt: 1 problem, nothing was imported\n"
        "  line 1      '2022/12/13 {' is not closed before line 3 ('12/14 {'): "
        "write '}' on a line of its own"
    )


def test_the_end_of_the_file_closes_no_block() -> None:
    assert "'todo {' is not closed before the end" in refuse("todo {\n    a\n")


def test_all_faults_are_shown_together() -> None:
    message = refuse("}\n2022/13/40 {\n}\n2/30 {\n}\n")
    assert message.startswith("lab.txt: 3 problems, nothing was imported")
    assert "line 1      '}' ends no block" in message
    assert "line 2      '2022/13/40' is no date: write month/day, or year/month/day" in message
    assert "line 4      '2/30' is no date" in message


def test_a_date_whose_year_nobody_knows_is_refused() -> None:
    assert "no year is known of '12/13': write 2022/12/13, or give --year" in refuse(
        make_blocks("12/13")
    )


LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=12)


@given(st.lists(LINES | st.sampled_from(["2022/1/2 {", "12/1{", "}", "a {", "  }", "\f", "\r"])))
def test_any_text_is_kept_whole_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        blocks = parse_notebook(text, path="lab.txt")
    except UsageError:
        return
    assert render_text(blocks) == text
