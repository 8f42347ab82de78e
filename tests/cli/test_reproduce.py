"""Code that changes while jobs wait, and runs that are made again, in real processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hpcexp as package
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status
from tests.cli.conftest import TEMPLATE, CommandLine
from tests.store.conftest import wait_until
from tests.store.trees import make_tree, plain_git

__all__ = ["plain_git"]

WARM = """\
extends: tiny.yaml
name: warm
params: {{warm_start: {{run: "{run}"}}}}
rand_inits: 1
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A lab that works on its own copy of hpcexp, in a git tree."""
    tree = make_tree(tmp_path / "lab", {"tiny.yaml": TEMPLATE, ".gitignore": "experiments/\n"})
    shutil.copytree(
        Path(str(package.__file__)).parent,
        tree / "hpcexp",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    # `python -m` itself would import from there only as long as nobody changes directory.
    monkeypatch.setenv("PYTHONPATH", str(tree))
    return CommandLine(tree)


def break_code(lab: CommandLine) -> None:
    (lab.directory / "hpcexp/workloads/sps/workload.py").write_text(
        "raise RuntimeError('edited')\n"
    )


def only(experiments: list[ExperimentDir]) -> ExperimentDir:
    (experiment,) = experiments
    return experiment


def test_an_edit_while_jobs_wait_changes_nothing(lab: CommandLine) -> None:
    process = lab.start("launch", "tiny.yaml", "--local", "--jobs", "1", "--rand-inits", "1")
    wait_until(lambda: lab.experiments, "the experiment")
    experiment = only(lab.experiments)
    first, waiting = (experiment.run(f"rnn_width={width}_rand_0") for width in (4, 6))
    wait_until(lambda: read_status(first).state != State.PENDING, "the first run")
    assert read_status(waiting).state == State.PENDING
    break_code(lab)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stdout + stderr
    assert "an edit of other code" not in stderr
    for run_dir in (first, waiting):
        status = read_status(run_dir)
        assert status.state == State.COMPLETED
        assert status.machine["code"].startswith("snapshot ")
        assert f"code: {status.machine['code']}" in run_dir.log_path(1).read_text()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shared_data_cache: Path) -> CommandLine:
    """Outside of git: two runs from scratch, and two that start from the first one."""
    lab = CommandLine(tmp_path_factory.mktemp("lab"))
    lab.write("tiny.yaml", TEMPLATE)
    said = lab("launch", "tiny.yaml", "--local", "--rand-inits", "1")
    assert "is in no git tree" in said
    source = only(lab.experiments).run("rnn_width=4_rand_0")
    lab.write("warm.yaml", WARM.format(run=source.path))
    lab("launch", "warm.yaml", "--local", "--only", "rnn_width=4")
    return lab


def test_a_run_with_a_warm_start_is_made_again_bit_for_bit(trained: CommandLine) -> None:
    original = trained.experiments[0]
    said = trained("reproduce", "warm", "rnn_width=4_rand_0")
    assert "identical: 5 rows of 17 metrics, bit for bit" in said
    assert "surroundings: the same device, threads, Python and packages, as far as known" in said
    made = only(list_experiments(trained.directory / "experiments/reproduced"))
    machine = read_status(made.run("rnn_width=4_rand_0")).machine
    assert machine == read_status(original.run("rnn_width=4_rand_0")).machine
    assert machine["code"].startswith("snapshot ")
    log = made.run("rnn_width=4_rand_0").log_path(1).read_text()
    assert "parameters and buffers start as in" in log


def test_a_run_that_comes_out_differently_is_said_to_and_where(
    trained: CommandLine, tmp_path: Path
) -> None:
    original = next(e for e in trained.experiments if e.short_name == "tiny")
    copied = ExperimentDir(tmp_path / original.name)
    shutil.copytree(original.path, copied.path)
    run_dir = copied.run("rnn_width=6_rand_0")
    config = json.loads(run_dir.config_path.read_text())
    run_dir.config_path.write_text(json.dumps(config | {"seed": config["seed"] + 1}))
    command = ("reproduce", str(copied.path), run_dir.name, "--to", str(tmp_path / "again"))
    process = trained.start(*command, "--json")
    report = json.loads(process.communicate(timeout=120)[0])
    assert process.returncode == 1
    assert (report["identical"], report["num_rows"]) == (False, 5)
    first = report["first_difference"]
    assert first["row"] == 0
    assert first["then"] != first["now"]
    assert first["relative"] > 0

    made = only(list_experiments(tmp_path / "again"))
    said = trained("reproduce", "--compare", str(made.path), exit_code=1)
    assert (
        f"first in row 0 (epoch {first['epoch']}, step {first['step']}, {first['split']}): " in said
    )
    assert f"{first['metric']} was {first['then']:.9g} and is {first['now']:.9g} (rel" in said
    assert "different: 5 of 5 rows, by up to" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tiny",), "give an experiment and one of its runs: hpcexp reproduce EXP_DIR RUN"),
        ((), "give an experiment and one of its runs"),
        (("tiny", "rnn_width=4"), "is a group: name one of its runs, such as rnn_width=4_rand_0"),
        (("tiny", "--compare", "tiny"), "--compare EXP_DIR goes with neither"),
        (("--compare", "tiny"), "reproduces no run"),
        (("tinny", "rnn_width=4_rand_0"), "no experiment in experiments/ has 'tinny' in its name"),
    ],
)
def test_mistakes_are_told_in_words(
    trained: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    output = trained("reproduce", *arguments, exit_code=2)
    assert said in output
    assert "Traceback" not in output


def test_a_dry_run_says_which_code_the_jobs_would_run(lab: CommandLine) -> None:
    (lab.directory / "new.py").write_text("x = 1\n")
    (lab.directory / "hpcexp/__init__.py").write_bytes(Path(str(package.__file__)).read_bytes())
    said = lab("launch", "tiny.yaml", "--dry-run", "--local")
    num_files = sum(1 for p in lab.directory.rglob("*") if p.is_file() and ".git/" not in str(p))
    num_files -= sum(1 for _ in lab.directory.rglob("__pycache__/*"))
    assert f"with code     {num_files} files, " in said
    assert f"of {lab.directory}, {num_files - 2} uncommitted changes" in said
