"""Logs and terminals on a full disk: lines are lost, runs are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.ownership import read_owner
from hpcexp.store.status import State, read_status
from tests.hostile.conftest import Terminal, copy_experiment
from tests.hostile.surroundings import fill, tmpfs
from tests.worker.conftest import Worker, assert_equal_runs, list_runs, make_experiment

StartWorker = Callable[..., Worker]

needs_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no /dev/full here"
)


@needs_full_device
def test_a_worker_whose_job_log_is_on_a_full_disk_trains_and_exits_with_0(
    tmp_path: Path, workers: StartWorker, reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path)
    worker = workers(experiment, log_path=Path("/dev/full"))
    assert worker.join() == 0
    run_dir = list_runs(experiment)[0]
    assert "completed after 30 steps" in run_dir.log_path(1).read_text()
    assert_equal_runs(run_dir, reference)


def test_a_run_whose_own_log_is_on_a_full_disk_completes_and_is_given_back(
    tmp_path: Path, workers: StartWorker, reference: RunDir
) -> None:
    experiment = make_experiment(tmp_path)
    run_dir = list_runs(experiment)[0]
    with tmpfs(run_dir.logs_dir, "size=16k"):
        fill(run_dir.logs_dir)
        worker = workers(experiment)
        assert worker.join() == 0
        assert "completed after 30 steps" in worker.log
        assert "Logging error" not in worker.log
        assert "Traceback" not in worker.log
    assert read_status(run_dir).state == State.COMPLETED
    owner = read_owner(run_dir)
    assert owner is not None
    assert owner.released
    assert_equal_runs(run_dir, reference)


@needs_full_device
def test_a_local_launch_whose_terminal_is_a_full_disk_trains_all_the_same(
    terminal: Terminal,
) -> None:
    """As with `nohup hpcexp launch ... > /full/log 2>&1 &`."""
    with Path("/dev/full").open("w") as full:
        process = terminal.start("launch", "tiny.yaml", "--local", stdout=full, stderr=full)
        assert process.wait(120) == 1  # its report could not be read by anybody
    experiment = terminal.experiments[0]
    states = {run.name: read_status(run).state for run in list_runs(experiment)}
    assert states == dict.fromkeys(states, State.COMPLETED)


@needs_full_device
@pytest.mark.parametrize("command", [["status"], ["logs", "latest"], ["schema"], ["--help"]])
def test_a_command_whose_output_is_a_full_disk_says_so(
    command: list[str], terminal: Terminal, trained: ExperimentDir
) -> None:
    copy_experiment(trained, terminal)
    if command[0] == "logs":
        command = [*command, "base_rand_0"]
    with Path("/dev/full").open("w") as full:
        said = terminal.type(*command, stdout=full)
    said.check_error(exit_code=1, words="No space left on device")


def test_jobs_of_a_local_launch_train_where_their_logs_cannot_be_kept(terminal: Terminal) -> None:
    assert terminal.type("launch", "tiny.yaml", "--local").exit_code == 0
    experiment = terminal.experiments[0]
    for run in list_runs(experiment):
        status = run.status_path
        status.write_text(status.read_text().replace('"completed"', '"interrupted"'))
    experiment.summary_path.unlink()
    experiment.submission_dir("submission_002").touch()  # where the logs would go
    said = terminal.type("resume", "latest", "--local")
    assert said.exit_code == 0, said
    assert [read_status(run).state for run in list_runs(experiment)] == [State.COMPLETED] * 2


@needs_full_device
@pytest.mark.parametrize(("last", "exit_code"), [("let_go_of_full_streams()", 7), ("", 120)])
def test_what_cannot_be_flushed_does_not_change_the_exit_code_of_a_worker(
    last: str, exit_code: int
) -> None:
    """Python itself exits with 120 where standard output cannot be flushed at its end."""
    code = (
        "import sys; from hpcexp.worker.logs import let_go_of_full_streams\n"
        f"print('x')\n{last}\nsys.exit(7)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, stdout=full, stderr=full, env=environment)
    assert done.returncode == exit_code
