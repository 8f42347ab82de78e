"""`hpcexp note`, `list`, `notebook`, `meeting` and `export`, as a user types them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcexp.cli.app import app
from hpcexp.cli.dates import DAY
from hpcexp.cli.options import complete_tag
from hpcexp.errors import UsageError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.notes import read_notes
from tests.analysis.builder import build_experiment
from tests.cli.conftest import CommandLine
from tests.store.notebook.notebooks import OWN_PATH

NAME = "2021_m12_d30@09_15_00_wide_rnn"


@pytest.fixture
def experiment(experiments_dir: Path) -> ExperimentDir:
    """Two groups of one run each, in the directory that commands use by default."""
    made = build_experiment(experiments_dir, {"rnn_width": [16, 256]}, rand_inits=1, num_epochs=3)
    return ExperimentDir(made.path.rename(experiments_dir / NAME))


def run(*arguments: str, text: str | None = None) -> str:
    """Type a command that works; its standard output."""
    result = CliRunner().invoke(app, arguments, input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(*arguments: str) -> str:
    """Type a command that is a mistake; what it says."""
    try:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    except UsageError as error:  # shown without a traceback by the entry point
        return str(error)
    assert result.exit_code == 2, result.output
    return result.output


def test_a_note_is_written_and_listed(experiment: ExperimentDir) -> None:
    said = run("note", "wide", "16 is\n  enough", "--tag", "paper", "--next", "try 8",
               "--run", "rnn_width=16")  # fmt: skip
    assert "tagged paper" in said
    (note,) = read_notes(experiment).notes
    assert (note.text, note.next, note.run) == ("16 is\n  enough", "try 8", "rnn_width=16")
    listed = run("note", "wide", "--list")
    assert "on rnn_width=16  #paper\n    16 is\n      enough\n    next: try 8" in listed


def test_notes_are_json_for_scripts(experiment: ExperimentDir) -> None:
    written = json.loads(run("note", "wide", "text", "--json"))
    assert json.loads(run("note", "wide", "--list", "--json"))["notes"] == [written]
    assert written["text"] == "text"


def test_a_note_is_read_from_standard_input(experiment: ExperimentDir) -> None:
    run("note", "wide", "-", text="from a pipe\n#paper\n")
    (note,) = read_notes(experiment).notes
    assert (note.text, note.tags) == ("from a pipe\n#paper", ("paper",))


def test_a_note_is_written_in_the_editor(experiment: ExperimentDir, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\n{ echo "from the editor"; cat "$1"; } > "$1.new"\n'
                      'mv "$1.new" "$1"\n')  # fmt: skip
    editor.chmod(0o755)
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "hpcexp", "note", NAME],
        stdin=theirs,
        env={**os.environ, "EDITOR": str(editor), "VISUAL": ""},
        capture_output=True,
        text=True,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert [note.text for note in read_notes(experiment).notes] == ["from the editor"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give the text, or - for stdin"),
        (("",), "an empty note"),
        (("x", "--tag", "a b"), "'a b' is no tag"),
        (("x", "--run", "rnn_width=17"), "has no run or group 'rnn_width=17'; did you mean"),
        (("x", "--list"), "--list shows notes"),
    ],
)
def test_a_mistake_writes_no_note(
    experiment: ExperimentDir, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refuse("note", "wide", *arguments)
    assert read_notes(experiment).notes == ()


def test_experiments_are_listed(experiment: ExperimentDir) -> None:
    header, row = run("list").splitlines()
    assert header.split() == ["experiment", "runs", "states", "tags", "question"]
    assert row.split()[:4] == [NAME, "2", "2", "completed"]


def test_experiments_are_found_and_told_as_json(experiment: ExperimentDir) -> None:
    run("note", "wide", "x", "--tag", "paper")
    (found,) = json.loads(
        run("list", "wide", "--where", "rnn_width=16", "--tag", "paper", "--since", "2021-12-01",
            "--until", "2021-12-31", "--state", "completed", "--json")
    )  # fmt: skip
    assert found["matching_groups"] == ["rnn_width=16"]
    assert found["launched"] == "2021-12-30"
    assert found["tags"] == ["paper"]
    assert run("list", "--where", "rnn_width=17").startswith("none of 1 experiments")


def test_mistakes_in_a_search_are_named(experiment: ExperimentDir) -> None:
    assert "did you mean rnn_width?" in refuse("list", "--where", "rnn_wdith=1")
    assert "is no condition" in refuse("list", "--where", "rnn_width")
    assert "'soon' is no day: write 2022-12-13, 7d" in refuse("list", "--since", "soon")
    assert "'dead' is no state; there are" in refuse("list", "--state", "dead")


def test_an_empty_directory_says_how_to_fill_it(experiments_dir: Path) -> None:
    assert "hpcexp launch TEMPLATE makes one" in run("list")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2022-12-13", date(2022, 12, 13)),
        ("2022_m12_d13", date(2022, 12, 13)),
        ("2022_m12_d13@16_26_35_tr", date(2022, 12, 13)),
        ("2022/2/3", date(2022, 2, 3)),
        ("today", date.today()),
        ("7d", date.today() - timedelta(days=7)),
        ("2w", date.today() - timedelta(days=14)),
    ],
)
def test_days_as_people_type_them(text: str, day: date) -> None:
    assert DAY.convert(text, None, None) == day


@pytest.mark.parametrize("text", ["", "2022-13-01", "12/13", "123456d", "7"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no day"):
        DAY.convert(text, None, None)


def test_a_notebook_of_text_is_imported_and_rendered(experiment: ExperimentDir) -> None:
    said = run("notebook", "import", str(OWN_PATH), "--name", "lab")
    assert "remarks on 4 experiments: 1 are here, 3 not yet" in said
    again = json.loads(run("notebook", "import", str(OWN_PATH), "--name", "lab", "--json"))
    assert (again["attached"], again["num_new_lines"]) == ([NAME], 0)
    written = json.loads(run("notebook", "--no-figures", "--json"))
    assert written["experiments"] == [NAME]
    for path in written["files"]:
        assert "half a step out" in Path(path).read_text()
    assert "half a step out" in run("note", "wide", "--list")


def test_the_notebook_is_written_where_it_is_wanted(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "mine.md"
    assert str(target) in run("notebook", "--no-figures", "-o", str(target))
    assert NAME in target.read_text()
    assert ".html or .md" in refuse("notebook", "-o", "mine.docx")


def test_a_notebook_without_a_year_is_refused_and_takes_one(
    experiments_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lab.txt"
    path.write_text("12/13 {\n    x\n}\n")
    assert "or give --year" in refuse("notebook", "import", str(path))
    assert not experiments_dir.exists()
    run("notebook", "import", str(path), "--year", "2022")


def test_slides_are_made_for_a_meeting(experiment: ExperimentDir) -> None:
    assert "has a note tagged present_in_meeting" in refuse("meeting")
    run("note", "wide", "16 is enough", "--tag", "present_in_meeting")
    written = json.loads(run("meeting", "--since", "today", "--json"))
    assert written["experiments"] == [NAME]
    html_path, pdf_path = map(Path, written["files"])
    assert "16 is enough" in html_path.read_text()
    assert pdf_path.read_bytes().startswith(b"%PDF")
    assert ".html or .pdf" in refuse("meeting", "-o", "slides.pptx")


def test_results_are_exported(experiment: ExperimentDir) -> None:
    said = run("export", "wide", "--to", "csv", "--to", "tensorboard")
    assert (experiment.export_dir("csv") / "runs.csv").is_file()
    assert "tensorboard --logdir" in said
    assert "'xlsx' is not one of 'csv', 'parquet'" in refuse("export", "wide", "--to", "xlsx")


def test_the_shell_completes_experiments_runs_and_tags(experiment: ExperimentDir) -> None:
    def complete(*words: str) -> str:
        line = " ".join(("hpcexp", *words))
        environment = {"_HPCEXP_COMPLETE": "bash_complete", "COMP_WORDS": line,
                       "COMP_CWORD": str(len(words))}  # fmt: skip
        return CliRunner().invoke(app, prog_name="hpcexp", env=environment).output

    for command in ("note", "list", "export"):
        assert NAME in complete(command, "wide")
    assert "rnn_width=256_rand_0" in complete("note", NAME, "--run", "rnn_width=25")
    run("note", "wide", "x", "--tag", "paper")
    context = click.Context(app)
    assert [i.value for i in complete_tag(context, app.params[0], "#pa")] == ["paper"]


def test_a_mistake_in_a_process_of_its_own_exits_with_2_and_no_traceback(
    hpcexp: CommandLine,
) -> None:
    said = hpcexp("list", "--where", "x", exit_code=2)
    assert said.startswith("--where 'x' is no condition")
