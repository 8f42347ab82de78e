"""A laboratory's own workload, from `hpcexp new` on, as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.snapshot import read_snapshot
from hpcexp.store.status import State, read_status
from tests.cli.conftest import CommandLine
from tests.store.trees import git, plain_git, write_files
from tests.workloads.own.conftest import change

__all__ = ["plain_git"]

TEMPLATE = "templates/curve.yaml"
RUN = "width=8,lr=0.03_rand_0"


@pytest.fixture
def lab(hpcexp: CommandLine) -> CommandLine:
    """A directory with the skeleton, and nothing else."""
    said = hpcexp("new", "workload", "curve", "--to", "lab")
    assert "cd lab && hpcexp launch templates/curve.yaml --profile smoke" in said
    return CommandLine(hpcexp.directory / "lab")


def test_it_trains_from_the_copy_and_is_extended_from_anywhere(
    lab: CommandLine, tmp_path: Path
) -> None:
    git(lab.directory, "init", "--quiet")
    options = ("--set", "grid.width=[8]", "--set", "resources.packing=lanes")
    lab("launch", TEMPLATE, "--profile", "smoke", "--local", *options)
    (experiment,) = lab.experiments
    runs = read_plan(experiment).runs
    assert len(runs) == 2
    assert {read_status(experiment.run(run.name)).state for run in runs} == {State.COMPLETED}
    assert (experiment.code_dir / "tree/curve/workload.py").is_file()
    # What they edit, or lose, since changes nothing of the experiment.
    shutil.rmtree(lab.directory / "curve")
    (tmp_path / "away").mkdir()
    away = CommandLine(tmp_path / "away")
    said = away("extend", str(experiment.path), "--add-group", "width=8,lr=0.1", "--dry-run")
    assert "width=8,lr=0.1" in said


def test_mistakes_are_their_own_words_and_leave_nothing_behind(lab: CommandLine) -> None:
    change(lab.directory / "curve/workload.py", "import torch\n", "import torch\n\n1 / 0\n")
    assert "4 groups x 3" in lab("launch", TEMPLATE, "--dry-run", "--local")
    said = lab("launch", TEMPLATE, "--local", exit_code=2)
    assert said.startswith("curve.workload cannot be imported: ZeroDivisionError: division by zero")
    assert "workload.py, line " in said
    assert "Traceback" not in said
    write_files(lab.directory, {"curve/config.py": "print('hi')\nfrom nowhere import x\n"})
    said = lab("launch", TEMPLATE, "--dry-run", exit_code=2)
    assert "line 3  workload: curve.config cannot be imported: ModuleNotFoundError" in said
    assert "Traceback" not in said
    assert lab.experiments == []


def test_an_error_while_it_is_checked_is_told_with_its_line(lab: CommandLine) -> None:
    path = lab.directory / "curve/config.py"
    change(
        path,
        "    width: int",
        "    @property\n    def num_steps(self) -> int:\n        return 1 // 0\n\n    width: int",
    )
    said = lab("launch", TEMPLATE, "--dry-run", "--local", exit_code=2)
    assert "\nan error of the workload: ZeroDivisionError: integer division" in said
    assert "line 21: return 1 // 0)" in said


def test_a_dry_run_says_what_is_copied_and_prints_json_that_nothing_disturbs(
    lab: CommandLine,
) -> None:
    with (lab.directory / "curve/config.py").open("a") as file:
        file.write("\nprint('hello')\n")
    process = lab.start("launch", TEMPLATE, "--dry-run", "--json", "--slurm")
    shown, _ = process.communicate()
    described = json.loads(shown)
    assert described["workload"] == "curve.workload:Curve"
    assert "packages/1" in described["sbatch"]


def test_another_repository_is_copied_and_written_down(
    lab: CommandLine, hpcexp: CommandLine
) -> None:
    git(lab.directory, "init", "--quiet")
    shutil.copy(lab.directory / TEMPLATE, hpcexp.directory / "t.yaml")
    options = (
        "--set",
        "resources.code=[lab]",
        "--profile",
        "smoke",
        "--only",
        RUN[: -len("_rand_0")],
    )
    hpcexp("launch", "t.yaml", "--local", *options)
    (experiment,) = hpcexp.experiments
    snapshot = read_snapshot(experiment)
    assert snapshot is not None
    assert [(x.path, x.copy) for x in snapshot.further] == [(str(lab.directory), "trees/1")]
    recorded = json.loads((experiment.provenance_dir / "provenance.json").read_text())["trees"]
    assert str(lab.directory) in [git["top_dir"] for git in recorded]
    assert list(experiment.provenance_dir.glob("tree_*/untracked/curve/workload.py"))
    said = hpcexp("reproduce", "latest", RUN)
    assert f"and of {lab.directory}" in said
    assert "identical" in said
