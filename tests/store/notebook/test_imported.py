"""Imported notebooks: kept whole, and their remarks find experiments that are here, or come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import create_experiment
from hpcexp.store.layout import ExperimentDir, notebook_dir
from hpcexp.store.notebook.gather import read_all_notes
from hpcexp.store.notebook.imported import (
    ImportedNotebook,
    find_remarks,
    import_notebook,
    read_imported,
)
from hpcexp.store.notebook.laboratory import render_text
from hpcexp.store.notebook.notes import add_note, make_note
from tests.analysis.builder import PROVENANCE, make_plan
from tests.store.notebook.notebooks import NOTEBOOKS, OWN_PATH, read_exactly

WIDE, DROP_OUT, BATCH_NORM = (
    "2021_m12_d30@09_15_00_wide_rnn",
    "2022_m01_d02@10_00_00_drop_out",
    "2022_m01_d02@10_00_00_batch_norm",
)


def make_experiment(directory: Path, name: str) -> ExperimentDir:
    plan = make_plan({"lr": [0.1]}, rand_inits=1)
    made = create_experiment(directory, plan, sources=[], provenance=PROVENANCE)
    return ExperimentDir(made.path.rename(directory / name))


def import_own(directory: Path) -> ImportedNotebook:
    return import_notebook(OWN_PATH, experiments_dir=directory).notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_copy_has_every_line(path: Path, tmp_path: Path) -> None:
    import_notebook(path, experiments_dir=tmp_path)
    (kept,), problems = read_imported(tmp_path)
    assert render_text(kept.parse()) == "".join(kept.lines) == read_exactly(path)
    assert problems == []


def test_remarks_are_the_lines_below_a_name(tmp_path: Path) -> None:
    remarks = find_remarks(import_own(tmp_path))
    assert list(remarks) == ["2021_m11_d27@18_02_11_faster_decay", WIDE, DROP_OUT, BATCH_NORM]
    (wide,) = remarks[WIDE]
    assert wide.text.splitlines() == [
        "  #present_in_meeting #width",
        "  wide is *not* better_than_narrow",
        "  - at least for lr = 1e-3, | see `plots`",
        "  - ~~never~~ again",
        "half a step out",
    ]
    assert wide.tags == ("present_in_meeting", "width")
    assert (wide.created, wide.author) == ("2022-01-03", "")
    assert wide.source == "laboratory_notebook, line 24"


def test_names_without_a_remark_between_share_the_one_below(tmp_path: Path) -> None:
    remarks = find_remarks(import_own(tmp_path))
    assert remarks[DROP_OUT] == remarks[BATCH_NORM]
    assert remarks[DROP_OUT][0].text.startswith("#present_in_meeting\nboth collapse.")


def test_a_remark_reaches_an_experiment_that_is_here_and_one_that_appears(tmp_path: Path) -> None:
    here = make_experiment(tmp_path, WIDE)
    import_own(tmp_path)
    assert "wide is *not*" in read_all_notes(here).notes[0].text
    later = make_experiment(tmp_path, DROP_OUT)
    assert "both collapse" in read_all_notes(later).notes[0].text


def test_notes_and_remarks_are_in_the_order_of_days(tmp_path: Path) -> None:
    experiment = make_experiment(tmp_path, WIDE)
    add_note(experiment, make_note("today"))
    import_own(tmp_path)
    assert [note.source != "" for note in read_all_notes(experiment).notes] == [True, False]


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "lab.txt"
    path.write_text("2022/1/2 {\n    old\n    same\n}\n")
    import_notebook(path, experiments_dir=tmp_path)
    path.write_text("2022/1/2 {\n    same\n    new\n    newer\n}\n")
    change = import_notebook(path, experiments_dir=tmp_path)
    assert (change.num_new, change.num_gone) == (2, 1)
    (kept,), _ = read_imported(tmp_path)
    assert "    newer\n" in kept.lines


def test_another_file_of_the_same_name_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lab.txt").write_text("todo {\n    x\n}\n")
    import_notebook(tmp_path / "a" / "lab.txt", experiments_dir=tmp_path)
    with pytest.raises(UsageError, match="give this one another name with --name"):
        import_notebook(tmp_path / "b" / "lab.txt", experiments_dir=tmp_path)
    import_notebook(tmp_path / "b" / "lab.txt", experiments_dir=tmp_path, name="b")
    assert [notebook.name for notebook in read_imported(tmp_path)[0]] == ["b", "lab"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"todo {\n a \xb5\n}\n", "line 2 is not UTF-8"),
        (b"todo {\n", "1 problem, nothing was imported"),
    ],
)
def test_what_is_no_notebook_is_refused_and_nothing_is_kept(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "lab.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        import_notebook(path, experiments_dir=tmp_path)
    assert not notebook_dir(tmp_path).path.exists()


def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a notebook"):
        import_notebook(OWN_PATH, experiments_dir=tmp_path, name="../up")


def test_a_damaged_copy_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    import_own(tmp_path)
    broken = notebook_dir(tmp_path).imported_path("broken")
    broken.write_text(json.dumps({"name": "broken"}))
    notebooks, problems = read_imported(tmp_path)
    assert [notebook.name for notebook in notebooks] == ["laboratory_notebook"]
    assert "broken.json: damaged" in problems[0]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    notebook_dir(tmp_path).path.write_text("a file in the way")
    with pytest.raises(HpcexpError, match="cannot be written"):
        import_own(tmp_path)
