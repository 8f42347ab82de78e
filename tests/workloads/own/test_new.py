"""`hpcexp new workload`: what it writes works as it stands."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.template import load_template
from hpcexp.workloads import load_config_class
from hpcexp.workloads.own import find_own
from hpcexp.workloads.own.new import write_skeleton
from tests.workloads.own.conftest import REFERENCE


def list_files(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def test_it_is_a_package_and_a_template(tmp_path: Path) -> None:
    skeleton = write_skeleton("two_words", directory=tmp_path / "new")
    assert list_files(tmp_path / "new") == [
        "templates/two_words.yaml",
        "two_words/__init__.py",
        "two_words/config.py",
        "two_words/test_workload.py",
        "two_words/workload.py",
    ]
    assert all(path.is_file() for path in skeleton.files)
    assert "class TwoWords:" in (skeleton.package_dir / "workload.py").read_text()


def test_its_own_tests_pass(lab: Path) -> None:
    find_own(REFERENCE)
    tests = importlib.import_module("curve.test_workload")
    functions = [f for name, f in vars(tests).items() if name.startswith("test_")]
    assert len(functions) == 4
    for function in functions:
        function()


def test_nothing_in_it_offends_a_linter(lab: Path) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=100", "curve"]
    done = subprocess.run(command, cwd=lab, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_its_template_is_a_grid_of_two_by_two(lab: Path) -> None:
    template = load_template(lab / "templates/curve.yaml")
    assert template.workload == REFERENCE
    assert [group.name for group in template.groups()] == [
        "width=8,lr=0.003", "width=8,lr=0.03", "width=32,lr=0.003", "width=32,lr=0.03",
    ]  # fmt: skip


def test_its_runs_of_one_width_can_be_lanes(lab: Path) -> None:
    config = load_config_class(REFERENCE)
    keys = [
        config.model_validate(values).lane_key
        for values in ({"lr": 0.1}, {"lr": 0.2, "noise_std": 0.0}, {"width": 4})
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("taken", ["curve", "templates/curve.yaml"])
def test_nothing_is_overwritten_and_nothing_is_half_made(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    with pytest.raises(UsageError, match=f"{taken} exists already and is left as it is"):
        write_skeleton("curve", directory=tmp_path)
    assert list_files(tmp_path) == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written \(.*\); say where else with --to"):
        write_skeleton("curve", directory=tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-curve", "'my-curve' cannot name a Python package: .*; did you mean my_curve?"),
        ("Curve", "did you mean curve"),
        ("2d", "cannot name a Python package"),
        ("class", "cannot name a Python package"),
        ("../x", "cannot name a Python package"),
        ("torch", "torch is the name of another Python package here"),
        ("random", "random is the name of another Python package here"),
        ("hpcexp", "is the name of another"),
        ("x" * 41, "has 41 letters; at most 40"),
    ],
)
def test_a_name_that_would_not_work_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        write_skeleton(name, directory=tmp_path)
    assert list_files(tmp_path) == []
