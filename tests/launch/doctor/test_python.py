"""Python, its packages, torch and GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcexp.launch.doctor import python
from hpcexp.launch.doctor.findings import Level
from hpcexp.launch.doctor.python import (
    check_packages,
    check_python,
    check_torch,
    find_requirement_problem,
    judge_gpus,
)

TWO_GPUS = [Path("/dev/nvidia0"), Path("/dev/nvidia1")]


def describe(**values: Any) -> dict[str, Any]:
    return {"version": "2.11.0", "cuda_build": "12.6", "problems": [], "gpus": [], **values}


def gpu(problem: str = "") -> dict[str, Any]:
    return {"name": "A100", "memory_gb": 80.0, "problem": problem}


def test_the_python_and_the_packages_of_these_tests_pass() -> None:
    assert check_python(None).level == Level.PASSED
    assert check_packages(None).level == Level.PASSED


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("click>=8", []),
        ("CLICK >= 8", []),
        ("click>=99", ["click is", "needed is >=99"]),
        ("no-such-package>=1", ["no-such-package is missing"]),
        ('no-such-package>=1; python_version < "3"', []),
        ('no-such-package>=1; extra == "dev"', []),
    ],
)
def test_a_requirement_is_met_or_its_problem_is_named(requirement: str, problem: list[str]) -> None:
    found = list(find_requirement_problem(requirement))
    assert len(found) == bool(problem)
    assert all(word in found[0] for word in problem)


def test_a_package_that_is_too_old_is_an_error_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(python, "_read_project", lambda: {"dependencies": ["click>=99"]})
    finding = check_packages(None)
    assert finding.level == Level.ERROR
    assert "-m pip install --upgrade" in finding.todo


def test_another_python_than_required_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "_read_project", lambda: {"requires-python": ">=4"})
    finding = check_python(None)
    assert finding.level == Level.ERROR
    assert ">=4" in finding.found


def test_torch_that_cannot_be_imported_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = check_torch(None)
    assert finding.level == Level.ERROR
    assert "ImportError: libcudart.so.12: cannot open" in finding.found


def test_torch_that_takes_the_process_down_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = check_torch(None)
    assert "cannot be used: signal 9" in finding.found


def test_torch_of_these_tests_passes_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch, threads, _ = check_torch(None)
    assert torch.level == Level.PASSED
    assert threads.found.startswith("torch uses 1 of ")


def test_more_threads_than_cpus_are_a_warning() -> None:
    finding = python._judge_threads({"num_threads": 64, "num_cpus": 1})
    assert (finding.level, finding.found) == (Level.WARN, "torch uses 64 of 1 CPU")


@pytest.mark.parametrize(
    ("report", "devices", "level", "words"),
    [
        (describe(), [], Level.PASSED, "none here"),
        (describe(gpus=[gpu()]), TWO_GPUS, Level.PASSED, "A100 (80 GB); CUDA 12.6"),
        (describe(gpus=[gpu("no kernel image")]), TWO_GPUS, Level.ERROR, "no kernel image"),
        (describe(cuda_build=None), TWO_GPUS, Level.WARN, "built without CUDA"),
        (describe(problems=["the driver is too old"]), TWO_GPUS, Level.WARN, "too old"),
        (describe(), TWO_GPUS, Level.WARN, "2 GPUs here, but torch sees none"),
    ],
)
def test_gpus_are_judged(
    report: dict[str, Any],
    devices: list[Path],
    level: Level,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    finding = judge_gpus(report, devices=devices)
    assert finding.level == level
    assert words in finding.found


def test_gpus_that_a_job_did_not_ask_for_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert judge_gpus(describe(), devices=TWO_GPUS).level == Level.PASSED
