"""The commands of the page on searches, with fewer samples than the page has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hpcexp.template import load_template
from tests.docs.snippets import PROJECT_DIR, Snippet, make_place, read_snippets, run_snippet

pytest.importorskip("optuna")

PAGE = PROJECT_DIR / "docs" / "searches.md"
SMALL = "--profile smoke --inline --set sample.count=3"


def make_small(command: str) -> str:
    """The same command with three samples, of seconds each."""
    if "--dry-run" in command or " plot " in command:
        return command
    if "launch" in command:
        start = " --set sample.start=2" if "tpe" in command else ""
        return f"{command} {SMALL}{start}"
    return re.sub(r"--samples \d+", "--samples 4", command) + " --inline"


def test_the_commands_of_the_page_work_one_after_the_other(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    commands = [s.text for s in read_snippets(PAGE) if s.language == "console"]
    said = [
        run_snippet(Snippet("console", make_small(command)), directory=place)
        for command in commands
    ]
    assert [command.split()[1] for command in commands] == [
        "launch", "launch", "extend", "plot", "extend", "launch", "search",
    ]  # fmt: skip
    assert "32 groups x 1 initialisation = 32 runs" in said[0]
    assert "1 new run\n  sample_003   new group" in said[2]
    assert "best of 4" in said[3]
    assert "sample_001   1 -> 5 initialisations" in said[4]
    assert "3 of 3 samples; new:\n  sample_002" in said[5]
    assert "4 of 4 samples; new:\n  sample_003" in said[6]


def test_the_templates_of_the_page_are_valid(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(examples) == 2
    for number, example in enumerate(examples):
        path = tmp_path / f"example_{number}.yaml"
        path.write_text(example)
        template = load_template(path)
        count = yaml.safe_load(example)["sample"]
        assert len(template.groups()) == count.get("start", count["count"])
