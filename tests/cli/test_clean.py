from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest

from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from tests.cli.conftest import CommandLine
from tests.cli.test_archive import build_tiny
from tests.launch.test_archive import start_from
from tests.warm.process import WarmPopen


@pytest.fixture
def trained(hpcexp: CommandLine) -> CommandLine:
    """One experiment of one completed run, built rather than trained, which takes longer."""
    build_tiny(hpcexp.directory / "experiments")
    return hpcexp


def count_checkpoints(experiment: ExperimentDir) -> int:
    return sum(
        len(list_checkpoints(experiment.run(run.name))) for run in read_plan(experiment).runs
    )


def test_what_would_be_freed_is_said_and_without_a_terminal_nothing_is(
    trained: CommandLine,
) -> None:
    (experiment,) = trained.experiments
    before = count_checkpoints(experiment)
    assert before >= 1
    shown = trained("clean", "tiny", exit_code=2)
    assert experiment.name in shown
    assert "cannot be looked into (hpcexp eval)" in shown
    assert "--yes frees it" in shown
    assert "nothing was freed" in trained("clean", "tiny", "--dry-run")
    assert "--yes" in trained("clean", "tiny", "--json", exit_code=2)
    assert count_checkpoints(experiment) == before


def test_with_yes_checkpoints_go_and_what_was_kept_can_still_be_looked_into(
    hpcexp: CommandLine,
) -> None:
    hpcexp(
        "launch", "tiny.yaml", "--inline", "--rand-inits", "1", "--only", "rnn_width=4",
        "--set", "params.keep_every=1",
    )  # fmt: skip
    (experiment,) = hpcexp.experiments
    assert "freed " in hpcexp("clean", "tiny", "--yes")
    assert count_checkpoints(experiment) == 0
    assert json.loads(hpcexp("status", "tiny", "--json"))["states"] == {"completed": 1}
    assert "wrote plots/" in hpcexp("plot", "tiny")
    shown = hpcexp("eval", "tiny", "--kind", "encoder", exit_code=1)
    assert "checkpoints are gone (hpcexp clean" in shown
    assert "epochs 1" in shown
    assert "encoder.csv" in hpcexp("eval", "tiny", "--kind", "encoder", "--at", "1")
    assert "there is nothing to free" in hpcexp("clean", "tiny", "--yes")


@pytest.mark.parametrize(("answer", "code", "said"), [("y", 0, "freed"), ("n", 1, "nothing was")])
def test_on_a_terminal_it_asks(trained: CommandLine, answer: str, code: int, said: str) -> None:
    (experiment,) = trained.experiments
    found, shown = type_on_terminal(trained.directory, "clean", "tiny", answer=answer)
    assert (found, "free " in shown, said in shown) == (code, True, True)
    assert (count_checkpoints(experiment) == 0) == (answer == "y")


def type_on_terminal(directory: Path, *arguments: str, answer: str) -> tuple[int, str]:
    """Run the command with a terminal, and answer what it asks."""
    ours, theirs = pty.openpty()
    process = WarmPopen(
        [sys.executable, "-m", "hpcexp", *arguments],
        cwd=directory, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_all_but_some_are_cleaned(trained: CommandLine) -> None:
    (tiny,) = trained.experiments
    other = build_tiny(trained.directory / "experiments", name="other")
    cleaned = json.loads(trained("clean", "--all-but", "tiny", "--yes", "--json"))
    assert [Path(e["experiment"]).name for e in cleaned["experiments"]] == [other.name]
    assert (count_checkpoints(other), count_checkpoints(tiny) > 0) == (0, True)
    shown = trained("clean", "other", "--all-but", "tiny", exit_code=2)
    assert "not both" in shown


def test_without_experiments_only_left_overs_are_looked_for(trained: CommandLine) -> None:
    (experiment,) = trained.experiments
    assert "there is nothing to free" in trained("clean", "--yes")
    assert count_checkpoints(experiment) > 0


def test_what_others_start_from_stays_and_is_named(trained: CommandLine) -> None:
    (experiment,) = trained.experiments
    dependent = start_from(experiment, rand_inits=1)
    shown = trained("clean", experiment.name, "--yes")
    assert f"others start from them: {dependent.name}; --force frees them" in shown
    assert count_checkpoints(experiment) > 0
    trained("clean", experiment.name, "--yes", "--force")
    assert count_checkpoints(experiment) == 0


def test_an_unknown_experiment_is_refused(trained: CommandLine) -> None:
    assert "did you mean tiny?" in trained("clean", "tyni", "--yes", exit_code=2)
    assert "did you mean tiny?" in trained("clean", "--all-but", "tyni", "--yes", exit_code=2)
