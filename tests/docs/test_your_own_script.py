"""The page on your own script: its files are written, its commands typed."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest

from hpcexp.template import load_template
from tests.docs.snippets import PROJECT_DIR, Snippet, read_snippets, run_snippet

PAGE = PROJECT_DIR / "docs" / "your-own-script.md"
FILES = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory outside of the project with the files of the page, beside nothing else."""
    directory = tmp_path_factory.mktemp("mine")
    for name, content in FILES.findall(PAGE.read_text()):
        (directory / name).write_text(content)
    return directory


def type_commands(place: Path, about: str) -> str:
    """The commands of the page with a word, in their order; what they print."""
    env = {**os.environ, "PYTHONPATH": str(PROJECT_DIR)}
    snippets = [s for s in read_snippets(PAGE) if s.language == "console" and about in s.text]
    # `: ;` hides the launch from what would add the smoke profile.
    texts = [Snippet("console", s.text.replace("hpcexp launch", ": ; hpcexp launch"))
             for s in snippets]  # fmt: skip
    return "".join(run_snippet(s, directory=place, env=env) for s in texts)


def test_the_script_is_launched_plotted_and_reported(place: Path) -> None:
    printed = type_commands(place, "line")
    assert "8 completed" in printed or "8 of 8 runs" in printed
    assert list(place.glob("experiments/*_line/plots/report.html"))
    assert len(list(place.glob("experiments/*_line/runs/*/checkpoints/own_attempt_0001/*"))) == 8


def test_the_function_is_launched(place: Path) -> None:
    type_commands(place, "fit")
    assert len(list(place.glob("experiments/*_fit/runs/*/metrics.1.bin"))) == 2


@pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None, reason="Lightning is an optional extra"
)
def test_the_lightning_module_is_launched(place: Path) -> None:
    type_commands(place, "lit")
    assert len(list(place.glob("experiments/*_lit/runs/*/checkpoints/*/last.ckpt"))) == 2


def test_the_template_for_several_processes_is_one(tmp_path: Path) -> None:
    (text,) = [t for t in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
               if "torchrun" in t]  # fmt: skip
    (tmp_path / "ranks.yaml").write_text(text)
    assert load_template(tmp_path / "ranks.yaml").resources.processes_per_node == 4


def test_the_script_of_the_page_runs_by_hand(place: Path, tmp_path: Path) -> None:
    command = f"cd {tmp_path} && python {place}/train.py --lr 0.1 --seed 1 | tail -n 1"
    env = {**os.environ, "PYTHONPATH": str(PROJECT_DIR)}
    assert run_snippet(Snippet("console", command), directory=place, env=env).startswith(
        '{"epoch": 30, "split": "validate", "loss": 0.0'
    )
