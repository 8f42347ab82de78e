"""Notes: one file each, by whom and when, read back in their order."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import create_experiment, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.notes import add_note, check_run, find_author, make_note, read_notes
from tests.analysis.builder import PROVENANCE, make_plan


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    plan = make_plan({"lr": [0.1, 0.2]}, rand_inits=2)
    return create_experiment(tmp_path, plan, sources=[], provenance=PROVENANCE)


def test_a_note_is_read_back_as_it_was_written(experiment: ExperimentDir) -> None:
    note = make_note("更小更好\n    but why?", tags=["a"], run="lr=0.1", next_step="again")
    add_note(experiment, note)
    assert read_notes(experiment).notes == (note,)


def test_a_note_tells_the_moment_with_its_time_zone() -> None:
    note = make_note("text")
    assert abs(datetime.fromisoformat(note.created).timestamp() - datetime.now().timestamp()) < 60
    assert datetime.fromisoformat(note.created).tzinfo is not None
    assert note.day == date.today()


def test_lines_of_tags_in_the_text_are_tags_too() -> None:
    assert make_note("#present_in_meeting\ngood", tags=["#b"]).tags == ("b", "present_in_meeting")


def test_the_author_is_whom_git_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n    name = Zoë of git\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.delenv("GIT_AUTHOR_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_author() == "Zoë of git"
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody else")
    assert find_author() == "somebody else"


def test_without_git_the_author_is_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GIT_AUTHOR_NAME", raising=False)
    monkeypatch.setenv("LOGNAME", "somebody")
    assert find_author() == "somebody"


@pytest.mark.parametrize("text", ["", "  \n \n"])
def test_an_empty_note_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty note"):
        make_note(text)


def test_a_next_step_alone_is_a_note() -> None:
    assert make_note("", next_step="more epochs").next == "more epochs"


def test_text_that_would_steer_a_terminal_is_made_harmless() -> None:
    assert make_note("red \x1b[31m, \udcff byte\ttab").text == "red [31m, � byte\ttab"


def test_many_writers_at_once_lose_nothing(experiment: ExperimentDir) -> None:
    notes = [make_note(f"note {i}") for i in range(60)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda note: add_note(experiment, note), notes))
    assert {note.text for note in read_notes(experiment).notes} == {n.text for n in notes}


def test_a_damaged_note_is_named_and_the_others_are_read(experiment: ExperimentDir) -> None:
    add_note(experiment, make_note("good"))
    (experiment.notes_dir / "0.json").write_text("{")
    record = {"created": "yesterday", "author": "", "text": ""}
    (experiment.notes_dir / "1.json").write_text(json.dumps(record))
    (experiment.notes_dir / ".2.json.tmp").write_text("being written")
    notes = read_notes(experiment)
    assert [note.text for note in notes.notes] == ["good"]
    assert len(notes.problems) == 2
    assert "0.json: damaged" in notes.problems[0]
    assert "1.json: damaged" in notes.problems[1]


def test_a_directory_that_cannot_be_written_is_an_error(experiment: ExperimentDir) -> None:
    experiment.notes_dir.write_text("a file in the way")
    with pytest.raises(HpcexpError, match="the note cannot be written"):
        add_note(experiment, make_note("text"))


def test_a_run_or_group_that_is_not_planned_is_refused(experiment: ExperimentDir) -> None:
    plan = read_plan(experiment)
    check_run(plan, "lr=0.1", experiment_name="tr")
    check_run(plan, "lr=0.2_rand_1", experiment_name="tr")
    with pytest.raises(UsageError, match=r"tr has no run or group 'lr=0\.3'; did you mean lr="):
        check_run(plan, "lr=0.3", experiment_name="tr")
