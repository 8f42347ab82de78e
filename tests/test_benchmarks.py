"""Benchmarks are kept alive at a tiny size; no time is asserted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.all import ARGUMENTS, FOR_A_GPU, make_entry, replace_entry, run
from tests.warm.process import run_warm

# Chaos needs a cluster, and has a short run of its own in tests/chaos; `all` runs the others.
NEEDS_A_CLUSTER = ("chaos", "all")
BENCHMARKS = sorted(
    path
    for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py")
    if path.stem not in NEEDS_A_CLUSTER
)


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_runs_and_prints_a_table(script: Path, tmp_path: Path) -> None:
    # Not a warm one: some start processes that import the script anew.
    done = subprocess.run(
        [sys.executable, str(script), "--smoke"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.strip().splitlines()) >= 3
    assert list(tmp_path.iterdir()) == []


PAGE = Path(__file__).parents[1] / "docs" / "results" / "performance.md"


def test_all_of_them_replace_their_tables_on_the_page_of_results(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(PAGE.read_text())
    command = [sys.executable, str(BENCHMARKS[0].parent / "all.py"), "--smoke"]
    done = run_warm([*command, "--only", "render", "--write", str(page)])
    assert done.returncode == 0, done.stderr
    before, after = PAGE.read_text(), page.read_text()
    assert after != before
    begin, end = "<!-- render on cpu: begin -->", "<!-- render on cpu: end -->"
    assert after.partition(begin)[0] == before.partition(begin)[0]
    assert after.partition(end)[2] == before.partition(end)[2]


def test_the_page_has_a_place_for_each_benchmark_and_for_those_of_a_gpu() -> None:
    page = PAGE.read_text()
    places = [f"{name} on cpu" for name in ARGUMENTS] + [f"{name} on gpu" for name in FOR_A_GPU]
    for place in places:
        assert "NEW" in replace_entry(page, place, "NEW")


def test_one_that_takes_too_long_is_stopped_and_what_it_printed_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import subprocess, sys\n"
        "print('| a |\\n|---|\\n| 1 |', flush=True)\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    )
    monkeypatch.setattr("benchmarks.all.HERE", tmp_path)
    monkeypatch.setitem(ARGUMENTS, "slow", ())
    outcome = run("slow", smoke=False, limit_min=0.03)
    assert outcome.problem == "stopped after 0.03 minutes"
    assert outcome.has_table
    assert "**Incomplete** (stopped" in make_entry("slow", outcome.printed, problem=outcome.problem)


def test_one_that_fails_before_a_table_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "wrong.py").write_text("print('| a |\\n|---|'); raise SystemExit(3)")
    monkeypatch.setattr("benchmarks.all.HERE", tmp_path)
    outcome = run("wrong", smoke=True, limit_min=1)
    assert outcome.problem == "exit 3"
    assert not outcome.has_table


def test_a_page_without_a_place_is_refused_with_the_lines_that_it_lacks() -> None:
    with pytest.raises(ValueError, match="<!-- render on cpu: begin -->"):
        replace_entry("# Performance", "render on cpu", "NEW")


def test_what_is_no_table_is_shown_as_it_was_printed() -> None:
    assert "```text" in make_entry("render", "a  b\n1  2")
    assert "```" not in make_entry("render", "| a |\n|---|\n| 1 |")
