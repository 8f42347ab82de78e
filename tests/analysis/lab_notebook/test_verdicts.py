"""Verdicts are read from what `hpcexp plot` has written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hpcexp.analysis.lab_notebook.diary import read_diary
from hpcexp.analysis.lab_notebook.pages import render_notebook
from hpcexp.analysis.lab_notebook.verdicts import read_verdicts
from hpcexp.store.layout import STATISTICS_FILE, ExperimentDir
from tests.analysis.lab_notebook.conftest import build_wide

LINE = "supported     16 is lower than 256 (p = 0.013)"


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    made = build_wide(tmp_path)
    made.plots_dir.mkdir()
    return made


def write(experiment: ExperimentDir, content: Any) -> Path:
    path = experiment.plots_dir / STATISTICS_FILE
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_each_verdict_is_a_line_that_begins_with_its_kind(experiment: ExperimentDir) -> None:
    write(experiment, {"words": [LINE]})
    assert read_verdicts(experiment) == ("supported: 16 is lower than 256 (p = 0.013)",)


def test_verdicts_that_are_older_than_the_runs_say_so(experiment: ExperimentDir) -> None:
    path = write(experiment, {"words": [LINE]})
    os.utime(path, (0, 0))
    verdicts = read_verdicts(experiment)
    assert verdicts is not None
    assert verdicts[-1].startswith("runs have changed since this was found: hpcexp plot 2021_")


@pytest.mark.parametrize("content", ["{", "[]", {"words": []}, {"words": None}, {}])
def test_without_any_there_are_none(experiment: ExperimentDir, content: Any) -> None:
    assert read_verdicts(experiment) is None
    write(experiment, content)
    assert read_verdicts(experiment) is None


def test_the_notebook_shows_them(experiment: ExperimentDir) -> None:
    write(experiment, {"words": [LINE]})
    page = render_notebook(read_diary(experiment.path.parent), title="tests", pictures={})
    assert "<li>supported: 16 is lower than 256 (p = 0.013)</li>" in page
