"""`hpcexp logs`: one run, several, the failed ones, the last lines, following."""

from __future__ import annotations

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, write_status
from tests.cli.conftest import CommandLine
from tests.store.conftest import wait_until

WIDE, NARROW = "rnn_width=6_rand_0", "rnn_width=4_rand_0"


@pytest.fixture
def experiment(hpcexp: CommandLine) -> ExperimentDir:
    """Two attempts of a run that failed, one of a run that completed."""
    hpcexp("launch", "tiny.yaml", "--local", "--rand-inits", "1", "--set", "params.max_step=1")
    (experiment,) = hpcexp.experiments
    for run in read_plan(experiment).runs:
        run_dir = experiment.run(run.name)
        run_dir.log_path(1).write_text(f"first of {run.name}\n")
    narrow = experiment.run(NARROW)
    narrow.log_path(2).write_text("line 1\nline 2\nline 3\n")
    write_status(narrow, RunStatus(state=State.FAILED, attempt=2))
    return experiment


def test_the_newest_attempt_is_shown_unless_another_is_asked_for(
    hpcexp: CommandLine, experiment: ExperimentDir
) -> None:
    assert hpcexp("logs", "latest", NARROW).startswith("line 1\nline 2\nline 3\n")
    assert hpcexp("logs", "latest", NARROW, "--attempt", "1").startswith(f"first of {NARROW}\n")
    told = hpcexp("logs", "latest", NARROW, "--attempt", "3", exit_code=1)
    assert f"{NARROW} has no attempt 3; it has had 2" in told


def test_several_logs_have_titles(hpcexp: CommandLine, experiment: ExperimentDir) -> None:
    shown = hpcexp("logs", "latest", "*_rand_0")
    assert f"==> {NARROW}, attempt 2 (" in shown
    assert f"==> {WIDE}, attempt 1 (" in shown
    assert f"first of {WIDE}" in shown


def test_only_the_failed_ones(hpcexp: CommandLine, experiment: ExperimentDir) -> None:
    shown = hpcexp("logs", "latest", "--failed")
    assert "line 3" in shown
    assert f"first of {WIDE}" not in shown
    write_status(experiment.run(NARROW), RunStatus(state=State.COMPLETED, attempt=2))
    assert "no run has failed" in hpcexp("logs", "latest", "--failed", exit_code=1)


@pytest.mark.parametrize(
    ("number", "shown"), [("2", "line 2\nline 3\n"), ("9", "line 1\n"), ("0", "")]
)
def test_only_the_last_lines(
    hpcexp: CommandLine, experiment: ExperimentDir, number: str, shown: str
) -> None:
    assert hpcexp("logs", "latest", NARROW, "-n", number).startswith(shown)


def test_what_the_job_printed(hpcexp: CommandLine, experiment: ExperimentDir) -> None:
    assert "completed after 1 steps" in hpcexp("logs", "latest", NARROW, "--job")


def test_one_of_many_must_be_named(hpcexp: CommandLine, experiment: ExperimentDir) -> None:
    told = hpcexp("logs", "latest", exit_code=2)
    assert "has 2 runs: name one, a group or a pattern" in told


def test_following_ends_with_the_run_and_misses_nothing(hpcexp: CommandLine) -> None:
    launch = hpcexp.start(
        "launch", "tiny.yaml", "--local", "--profile", "long", "--rand-inits", "1",
        "--only", "rnn_width=6",
    )  # fmt: skip
    wait_until(lambda: hpcexp.experiments, "the experiment")
    run_dir = hpcexp.experiments[0].run(WIDE)
    wait_until(run_dir.log_path(1).exists, "the log")
    process = hpcexp.start("logs", "latest", WIDE, "-f")
    stdout, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert stdout == run_dir.log_path(1).read_text()
    assert "completed after 1600 steps" in stdout
    launch.communicate(timeout=60)
