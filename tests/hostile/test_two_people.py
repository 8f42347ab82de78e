"""Two people at two terminals, with the same experiment: real processes, at the same moment."""

from __future__ import annotations

import re
import subprocess

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.launch import submit
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.ownership import read_live_owner
from hpcexp.store.status import State, read_status
from tests.hostile.conftest import DEADLINE_S, Terminal, copy_experiment
from tests.store.conftest import wait_until
from tests.worker.conftest import list_runs

NUM_RUNS = 3


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Wait for all; nobody may see a traceback."""
    ends = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in stdout + stderr, stdout + stderr
        ends.append((process.returncode, stdout + stderr))
    return ends


def count_ends(experiment: ExperimentDir) -> dict[str, int]:
    """How many attempts of each run said that they completed it."""
    return {
        run.name: sum(
            len(re.findall(r" completed after ", log.read_text()))
            for log in run.logs_dir.glob("attempt_*.log")
        )
        for run in list_runs(experiment)
    }


def make_unstarted(terminal: Terminal, **params: int) -> ExperimentDir:
    """A launch whose runs were cancelled before the first one began."""
    settings = [f"--set=params.{name}={value}" for name, value in params.items()]
    launch = terminal.start(
        "launch", "tiny.yaml", "--local", "--jobs", "1", "--rand-inits", str(NUM_RUNS), *settings
    )
    wait_until(lambda: terminal.experiments, "the experiment")
    launch.kill()
    launch.communicate()
    return terminal.experiments[0]


def assert_whole(experiment: ExperimentDir, *, max_step: int = 8) -> None:
    """Every run completed once, by one process at a time, with all its rows in order."""
    assert count_ends(experiment) == {run.name: 1 for run in list_runs(experiment)}
    for run in list_runs(experiment):
        status = read_status(run)
        assert (status.state, status.step) == (State.COMPLETED, max_step)
        assert read_live_owner(run) is None
        steps = read_metrics(run.path).step
        assert (steps[1:] >= steps[:-1]).all()


def test_two_launches_in_one_second_make_two_experiments(terminal: Terminal) -> None:
    processes = [
        terminal.start("launch", "tiny.yaml", "--inline", "--rand-inits", "1") for _ in range(2)
    ]
    assert [code for code, _ in finish(processes)] == [0, 0]
    assert len(terminal.experiments) == 2
    for experiment in terminal.experiments:
        assert_whole(experiment)


def test_three_who_resume_at_once_train_every_run_once(terminal: Terminal) -> None:
    experiment = make_unstarted(terminal)
    resume = ("resume", experiment.name, "--local", "--jobs", "1")
    ends = finish([terminal.start(*resume) for _ in range(3)])
    assert {code for code, _ in ends} == {0}
    assert sum("nothing to do" in said for _, said in ends) == 2
    assert_whole(experiment)


def test_looking_plotting_and_resuming_while_another_trains_disturbs_nothing(
    terminal: Terminal,
) -> None:
    experiment = make_unstarted(terminal, max_step=150, eval_every=5)
    training = terminal.start("resume", experiment.name, "--local", "--jobs", "2")
    first = list_runs(experiment)[0]
    wait_until(lambda: read_status(first).step > 0, "the first steps")
    others = [
        terminal.start(*command)
        for command in (
            ["status"],
            ["status", experiment.name, "--json"],
            ["plot", experiment.name, "--figure", "loss_curves"],
            ["resume", experiment.name, "--local"],
            ["retry", experiment.name, "--local"],
            ["logs", experiment.name, first.name],
        )
    ]
    ends = finish([*others, training])
    assert {code for code, _ in ends} == {0}, ends
    assert all("nothing to do" in said for _, said in ends[3:5])
    assert_whole(experiment, max_step=150)


def test_one_who_cancels_and_one_who_resumes_leave_every_run_cancelled_or_completed(
    terminal: Terminal,
) -> None:
    experiment = make_unstarted(terminal, max_step=400, eval_every=50)
    training = terminal.start("resume", experiment.name, "--local", "--jobs", "1")
    first = list_runs(experiment)[0]
    wait_until(lambda: read_status(first).step > 0, "the first steps")
    others = [
        terminal.start("cancel", experiment.name),
        terminal.start("resume", experiment.name, "--local"),
        terminal.start("cancel", experiment.name),
    ]
    finish([*others, training])
    runs = list_runs(experiment)
    assert {read_status(run).state for run in runs} <= {State.CANCELLED, State.COMPLETED}
    assert any(read_status(run).state == State.CANCELLED for run in runs)
    said = terminal.type("resume", experiment.name, "--state", "cancelled", "--local")
    assert said.exit_code == 0, said
    assert_whole(experiment, max_step=400)


def test_two_who_plot_at_once_leave_whole_figures(
    terminal: Terminal, trained: ExperimentDir
) -> None:
    experiment = copy_experiment(trained, terminal)
    ends = finish([terminal.start("plot", experiment.name) for _ in range(2)])
    assert [code for code, _ in ends] == [0, 0]
    assert [p for p in experiment.plots_dir.rglob(".*") if p.name != ".cache"] == []
    for path in experiment.plots_dir.glob("*.pdf"):
        assert path.read_bytes().rstrip().endswith(b"%%EOF")


def test_a_lock_that_is_held_for_long_is_named_to_who_waits_for_it(
    terminal: Terminal, trained: ExperimentDir
) -> None:
    experiment = copy_experiment(trained, terminal)
    with (
        submit.submitting(experiment),
        pytest.raises(HpcexpError, match="another hpcexp command is submitting"),
        submit.submitting(experiment, timeout_s=0.1),
    ):
        pytest.fail("two held the lock")
