"""`hpcexp doctor` as people and scripts read it, on a machine without Slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcexp.cli.doctor_view import summarise
from hpcexp.launch.doctor.findings import error, passed, warn
from tests.cli.conftest import CommandLine
from tests.cli.test_light_imports import find_heavy


@pytest.fixture(autouse=True)
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no_programs"))


def test_people_read_what_was_found_and_how_it_looks(hpcexp: CommandLine) -> None:
    lines = hpcexp("doctor").splitlines()
    assert lines[0] == "this machine"
    assert {"experiments", "Slurm"} <= set(lines)
    assert any(line.startswith("PASSED  flock ") for line in lines)
    warned = next(n for n, line in enumerate(lines) if "no Slurm on this machine" in line)
    assert lines[warned].startswith("WARN    commands ")
    assert lines[warned + 1].strip().startswith("-> nothing, if this is not a cluster")
    assert lines[-1].endswith("no errors")
    assert "\x1b" not in "".join(lines)
    assert [path.name for path in hpcexp.directory.iterdir()] == ["tiny.yaml"]


@pytest.fixture
def broken_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks at once, where importing the real one takes seconds."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('no such library')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))


@pytest.mark.usefixtures("broken_torch")
def test_errors_make_the_exit_code_1_and_scripts_read_json(hpcexp: CommandLine) -> None:
    (hpcexp.directory / "experiments").write_text("a file")
    report = json.loads(hpcexp("doctor", "--json", exit_code=1))
    assert report["ok"] is False
    assert report["counts"]["ERROR"] == 2
    wrong = [f for f in report["machine"]["findings"] if f["level"] == "ERROR"]
    assert [finding["check"] for finding in wrong] == ["torch", "directory"]
    assert wrong[0]["found"].endswith("ImportError: no such library")
    assert "flock" in report["machine"]["not_checked"]
    assert report["node"] is None


@pytest.mark.usefixtures("broken_torch")
def test_the_directory_may_have_a_strange_name(hpcexp: CommandLine) -> None:
    name = "-a 'b' $(x) ü%j"
    report = json.loads(hpcexp("doctor", "--json", f"--experiments-dir={name}", exit_code=1))
    (found,) = [f["found"] for f in report["machine"]["findings"] if f["check"] == "directory"]
    assert found.startswith(f"{hpcexp.directory / name} (the first launch makes it")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--node",), "--node needs Slurm"),
        (("--wait", "5m"), "--wait is for the job of --node"),
        (("--node", "--wait", "5"), "is not a duration; write 12h30m"),
        (("--gpus", "-1"), "Invalid value for '--gpus'"),
    ],
)
def test_wrong_options_are_refused(
    hpcexp: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    said = hpcexp("doctor", *arguments, exit_code=2)
    assert words in said
    assert "Traceback" not in said


def test_the_command_itself_loads_no_heavy_library(hpcexp: CommandLine) -> None:
    assert find_heavy(hpcexp, "doctor") == []


def test_the_last_line_counts() -> None:
    findings = [passed("a", ""), warn("b", "", todo=""), error("c", "", todo=""), passed("d", "")]
    assert summarise(findings) == "2 passed, 1 warning, 1 error"
    assert summarise([]) == "0 passed, no warnings, no errors"
