"""`hpcexp report`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TEMPLATE, CommandLine


def launch(hpcexp: CommandLine) -> None:
    hpcexp.write("tiny.yaml", TEMPLATE)
    hpcexp("launch", "tiny.yaml", "--inline")


def test_a_report_is_written_among_the_figures(hpcexp: CommandLine) -> None:
    launch(hpcexp)
    said = hpcexp("report", "tiny")
    assert "4 of 4 runs (4 completed)" in said
    (experiment,) = hpcexp.experiments
    page = experiment.report_path.read_text()
    assert "does a wider RNN predict better?" in page
    assert f"hpcexp reproduce {experiment.name} rnn_width=4_rand_0" in page
    assert "rnn_width: [4, 6]" in page  # the template, as it was
    assert [path.name for path in experiment.plots_dir.iterdir()] == ["report.html"]


def test_another_place_and_json(hpcexp: CommandLine) -> None:
    launch(hpcexp)
    answer = hpcexp("report", "tiny", "--output", "out/mine.html", "--json")
    found = json.loads(answer[answer.index("{") :])
    assert found["file"] == "out/mine.html"
    assert found["num_bytes"] == (hpcexp.directory / "out" / "mine.html").stat().st_size
    assert found["problems"] == []


def test_an_archive_is_read_in_place(hpcexp: CommandLine) -> None:
    launch(hpcexp)
    hpcexp("archive", "tiny", "--remove")
    said = hpcexp("report", "tiny")
    assert "its notes, pictures and template are not unpacked" in said
    (path,) = (hpcexp.directory / "experiments").glob("*.plots/report.html")
    assert "4 of 4 runs" in path.read_text()


def test_a_mistake_is_two_and_writes_nothing(hpcexp: CommandLine) -> None:
    launch(hpcexp)
    assert "a report is written as .html" in hpcexp(
        "report", "tiny", "-o", "report.pdf", exit_code=2
    )
    assert "no experiment" in hpcexp("report", "another", exit_code=2)
    hpcexp.write("file", "")
    said = hpcexp("report", "tiny", "-o", "file/report.html", exit_code=1)
    assert "cannot be written" in said
    assert "Traceback" not in said
    (experiment,) = hpcexp.experiments
    assert not experiment.plots_dir.exists()


def test_before_the_first_result_it_says_so(hpcexp: CommandLine) -> None:
    hpcexp.write("tiny.yaml", TEMPLATE)
    hpcexp("launch", "tiny.yaml", "--inline")
    (experiment,) = hpcexp.experiments
    for run in experiment.runs_dir.iterdir():
        for path in run.glob("metrics.*"):
            path.unlink()
    hpcexp("report", "tiny")
    page = experiment.report_path.read_text()
    assert "No two groups have results yet." in page
    assert "What could not be read" in page


def test_open_shows_it_in_a_browser_and_says_where_there_is_none(
    hpcexp: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(hpcexp)
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    hpcexp("report", "tiny", "--open")
    assert seen.read_text().startswith("file:///")
    monkeypatch.setenv("BROWSER", f"{tmp_path / 'none'} %s")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no browser here" in hpcexp("report", "tiny", "--open")
