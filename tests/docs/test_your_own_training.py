"""The tutorial of a laboratory's own workload, typed in an empty directory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.snippets import PROJECT_DIR, read_snippets, run_snippet

PAGE = PROJECT_DIR / "docs" / "your-own-training.md"


@pytest.mark.timeout(300)
def test_the_commands_of_the_tutorial_work_in_their_order(tmp_path: Path) -> None:
    commands = [s for s in read_snippets(PAGE) if s.language == "console"]
    said = {s.text: run_snippet(s, directory=tmp_path) for s in commands}
    assert "4 passed" in said["python -m pytest curve"]
    assert "4 groups x" in said["hpcexp launch templates/curve.yaml --dry-run --local"]
    assert "4 completed" in said["hpcexp launch templates/curve.yaml --local"]
    assert "RMSE (validation)" in said["hpcexp plot latest"]
    assert (tmp_path / "templates/curve.schema.json").stat().st_size > 1000


def test_the_tree_that_the_page_shows_is_what_is_written(tmp_path: Path) -> None:
    from hpcexp.workloads.own.new import write_skeleton

    (listing,) = re.findall(r"```\ncurve/\n(.*?)```", PAGE.read_text(), re.DOTALL)
    skeleton = write_skeleton("curve", directory=tmp_path)
    shown = [line.split()[0].rpartition("/")[2] for line in listing.splitlines()]
    assert sorted(shown) == sorted(path.name for path in skeleton.files)
