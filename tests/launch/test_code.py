"""Real processes that import from an experiment's copy of the code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import hpcexp
from hpcexp.launch.code import (
    describe_plan,
    list_code_dirs,
    list_warnings,
    make_python_command,
    make_shell_lines,
    plan_code,
    worker_environment,
)
from hpcexp.launch.prepare import prepare
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.snapshot import read_snapshot
from hpcexp.template import load_template
from tests.launch.conftest import TEMPLATE
from tests.store.trees import make_tree, plain_git, write_files

__all__ = ["plain_git"]

PROBE = """\
import json, sys
import hpcexp, lab_model
print(json.dumps({"hpcexp": hpcexp.__file__, "width": lab_model.WIDTH, "path": sys.path}))
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab's tree, in which somebody works; hpcexp is installed elsewhere."""
    tree = make_tree(
        tmp_path / "the lab's $tree",
        {"lab_model.py": "WIDTH = 1\n", "probe.py": PROBE, "t.yaml": TEMPLATE, "sub/x.py": ""},
    )
    monkeypatch.chdir(tree)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tree


def launch(directory: Path, *, copy_code: bool = True) -> ExperimentDir:
    return prepare(load_template(Path("t.yaml")), experiments_dir=directory, copy_code=copy_code)


@dataclass(frozen=True)
class Seen:
    """What a process imported."""

    hpcexp: str
    width: int
    path: list[str]


def run_probe(experiment: ExperimentDir, *, cwd: Path | None = None) -> Seen:
    done = subprocess.run(
        make_python_command(experiment, "probe"),
        env={**os.environ, **worker_environment(experiment)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return Seen(**json.loads(done.stdout))


def is_installed_editable() -> bool:
    return "site-packages" not in str(hpcexp.__file__)


# ----------------------------------------------------------------------- what a process imports


def test_hpcexp_and_the_labs_modules_come_from_the_copy(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments")
    write_files(tree, {"lab_model.py": "WIDTH = 2\n", "hpcexp/__init__.py": "raise SystemExit(7)"})
    seen = run_probe(experiment)
    assert seen.hpcexp == str(experiment.code_dir / "package/hpcexp/__init__.py")
    assert seen.width == 1
    assert str(tree) not in seen.path


@pytest.mark.skipif(not is_installed_editable(), reason="hpcexp is not installed as editable")
def test_an_editable_installation_comes_after_the_copy(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments")
    assert hpcexp.__file__ is not None
    assert run_probe(experiment).hpcexp != hpcexp.__file__
    without = launch(tmp_path / "experiments", copy_code=False)
    assert run_probe(without).hpcexp == hpcexp.__file__


def test_without_a_copy_it_is_as_ever(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments", copy_code=False)
    assert worker_environment(experiment) == {}
    assert make_shell_lines(experiment) == []
    write_files(tree, {"lab_model.py": "WIDTH = 2\n"})
    assert run_probe(experiment).width == 2
    assert list_warnings(experiment) == []


def test_no_bytecode_is_written_into_the_copy(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments")
    run_probe(experiment)
    assert list(experiment.code_dir.rglob("__pycache__")) == []


def test_a_given_path_stays_but_for_what_was_copied(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["", str(tree), "sub", str(tmp_path / "elsewhere")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(given))
    monkeypatch.setattr(sys, "path", [*given[1:], *sys.path])
    experiment = launch(tmp_path / "experiments")
    code_dir = experiment.code_dir
    assert worker_environment(experiment)["PYTHONPATH"].split(os.pathsep) == [
        str(code_dir / "package"),
        str(code_dir / "tree"),
        str(code_dir / "tree/sub"),
        str(tmp_path / "elsewhere"),
    ]


def test_outside_of_git_the_working_directory_of_the_launch_is_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_dir = tmp_path / "work"
    write_files(work_dir, {"lab_model.py": "WIDTH = 3\n", "probe.py": PROBE, "t.yaml": TEMPLATE})
    monkeypatch.chdir(work_dir)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    experiment = launch(tmp_path / "experiments")
    seen = run_probe(experiment, cwd=tmp_path)
    assert seen.width == 3
    assert seen.hpcexp.startswith(str(experiment.code_dir))
    (warning,) = list_warnings(experiment)
    assert warning.startswith(f"{work_dir} is in no git tree")


# ------------------------------------------------------- what a command imports of an experiment


def test_a_command_finds_what_the_jobs_import_but_for_hpcexp(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments")
    assert list_code_dirs(experiment) == [experiment.code_dir / "tree"]
    assert list_code_dirs(ExperimentDir(tmp_path)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nobody_runs_the_code_of_somebody_else_s_experiment(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments")
    os.chown(experiment.code_dir, 4711, 4711)
    assert list_code_dirs(experiment) == []


# ------------------------------------------------------------------------------- a batch script


def run_shell(lines: list[str], environment: dict[str, str]) -> list[str]:
    script = "\n".join([*lines, 'printf %s "$PYTHONPATH"'])
    done = subprocess.run(
        ["bash", "-euc", script], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split(os.pathsep)


def test_a_script_puts_the_copy_before_the_path_that_its_modules_set(
    tree: Path, tmp_path: Path
) -> None:
    experiment = launch(tmp_path / "'quoted' $HOME \"twice\"")
    copies = [str(experiment.code_dir / "package"), str(experiment.code_dir / "tree")]
    lines = make_shell_lines(experiment)
    assert run_shell(lines, {}) == copies
    assert run_shell(lines, {"PYTHONPATH": "/module/a:/b"}) == [*copies, "/module/a", "/b"]


def test_a_dry_run_shows_the_lines_of_the_launch(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "experiments")
    planned = ExperimentDir(tmp_path / "experiments/planned")
    expected = [line.replace(experiment.name, "planned") for line in make_shell_lines(experiment)]
    assert make_shell_lines(planned) == expected


def test_a_path_that_python_cannot_import_from_is_warned_of(tree: Path, tmp_path: Path) -> None:
    experiment = launch(tmp_path / "a:b")
    assert worker_environment(experiment) == {}
    assert make_shell_lines(experiment) == []
    assert list_warnings(experiment) == [
        "the path of the experiment holds a ':', which Python cannot import from: "
        "jobs run the code as it is when they begin"
    ]


# ------------------------------------------------------------------------------------- in words


def test_a_plan_is_described_in_a_line(tree: Path, tmp_path: Path) -> None:
    write_files(tree, {"new.py": "x" * 2_000_000, "lab_model.py": "WIDTH = 2\n"})
    plan = plan_code(tmp_path / "experiments")
    described = describe_plan(plan)
    assert described.startswith(
        f"{len(plan.sources)} files, {plan.num_bytes / 1e6:.1f} MB of {tree}"
    )
    assert described.endswith(", 2 uncommitted changes")
    assert str(Path(str(hpcexp.__file__)).parent) in described


def test_what_was_left_out_is_said_at_launch(tree: Path, tmp_path: Path) -> None:
    write_files(tree, {f"{number}.key": "secret" for number in range(5)})
    experiment = launch(tmp_path / "experiments")
    (warning,) = list_warnings(experiment)
    assert warning == (
        "not copied for the jobs: 0.key (may hold secrets), 1.key (may hold secrets), "
        f"2.key (may hold secrets) and 2 more, see {experiment.snapshot_path}"
    )


def test_experiments_are_no_code_wherever_they_are_made(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPCEXP_EXPERIMENTS_DIR", raising=False)
    write_files(tree, {"experiments/notes.py": ""})
    first = launch(Path())
    second = launch(Path())
    snapshots = [read_snapshot(experiment) for experiment in (first, second)]
    assert snapshots[0] is not None
    assert snapshots[1] is not None
    assert snapshots[0].digest == snapshots[1].digest
