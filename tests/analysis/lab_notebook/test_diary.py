"""The notebook by date: what happened and what was written on each day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from hpcexp.analysis.lab_notebook.diary import find_depths, nest_text, read_diary
from tests.analysis.lab_notebook.conftest import HOSTILE, WIDE


def test_launches_notes_and_blocks_stand_on_their_days(experiments_dir: Path) -> None:
    days = read_diary(experiments_dir).days
    assert [day.day for day in days] == [
        date(2021, 11, 28),
        date(2021, 12, 30),
        date(2022, 1, 1),
        date(2022, 1, 3),
        date.today(),
    ]
    assert [card.name for card in days[1].cards] == [WIDE]
    assert [block.heading for block in days[3].blocks] == ["1/3 meeting"]
    assert [later.note.text for later in days[4].notes] == [HOSTILE]


def test_a_card_tells_the_question_the_outcome_and_all_notes(experiments_dir: Path) -> None:
    (card,) = read_diary(experiments_dir).cards
    assert card.question == "how wide must the RNN be?"
    assert card.setting == "2 groups, 6 runs of sps"
    assert card.states == "3 completed, 3 diverged"
    assert [(r.label, r.n, r.median) for r in card.results] == [
        ("16", 3, "0.10"),
        ("256", 3, "diverged"),
    ]
    assert [bool(note.source) for note in card.notes] == [True, False]
    assert card.verdicts is None
    assert card.tags == ("present_in_meeting", "width")


def test_only_some_days_are_read(experiments_dir: Path) -> None:
    days = read_diary(experiments_dir, since=date(2021, 12, 1), until=date(2022, 1, 2)).days
    assert [day.day for day in days] == [date(2021, 12, 30), date(2022, 1, 1)]


def test_a_line_that_names_an_experiment_knows_it(experiments_dir: Path) -> None:
    (block,) = (
        read_diary(experiments_dir, since=date(2022, 1, 2), until=date(2022, 1, 4)).days[0].blocks
    )
    assert block.lines[0].experiment == WIDE


def test_what_cannot_be_read_is_named(experiments_dir: Path) -> None:
    (experiments_dir / WIDE / "plan.json").write_text("{")
    diary = read_diary(experiments_dir)
    assert diary.cards == ()
    assert "plan.json: damaged" in diary.problems[0]


@pytest.mark.parametrize(
    ("indents", "depths"),
    [
        ([], []),
        ([0, 4, 8, 4, 0], [0, 1, 2, 1, 0]),
        ([0, 2, 8], [0, 1, 2]),
        ([8, 4, 0], [0, 0, 0]),
        ([0, 8, 4, 8], [0, 1, 1, 2]),
    ],
)
def test_depths_follow_the_indentation_whatever_its_steps(
    indents: list[int], depths: list[int]
) -> None:
    assert find_depths(indents) == depths


def test_lines_of_tags_are_not_repeated_in_the_text_of_a_note() -> None:
    assert [line.text for line in nest_text("#a #b\n\nsaid\n  more")] == ["said", "more"]
