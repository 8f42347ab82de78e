"""What a worker asks the batch shell around it to do."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from hpcexp.store.status import State, read_status
from hpcexp.store.submissions import Stage, make_submission, write_submission
from hpcexp.worker.__main__ import choose_exit_code
from hpcexp.worker.bundle import find_refusal
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN
from hpcexp.worker.interruption import Interruption
from tests.worker.conftest import Worker, list_runs, make_experiment

JOB = {"SLURM_JOB_ID": "81", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "0"}


def test_a_job_whose_time_limit_is_near_while_it_imports_torch_asks_to_be_started_again(
    tmp_path: Path,
) -> None:
    experiment = make_experiment(tmp_path / "e", grid={"rnn_width": [5, 6]})
    worker = Worker(
        ["-m", "hpcexp.worker", str(experiment.path), "submission_001"],
        log_path=tmp_path / "log",
        environment=JOB,
    )
    run_dir, next_run_dir = list_runs(experiment)
    worker.wait_until(run_dir.owner_path.exists, "the run to be taken")
    worker.send(signal.SIGUSR2)
    assert worker.join() == START_AGAIN, worker.log
    status = read_status(run_dir)
    assert (status.state, status.job_id) == (State.TIMED_OUT, "77_0")
    assert status.reason == "the job's time limit is near"
    assert list(run_dir.path.glob("metrics.*")) == []
    assert read_status(next_run_dir).state == State.PENDING
    assert not next_run_dir.owner_path.exists()


@pytest.mark.parametrize(
    ("number", "code"),
    [(None, 0), (signal.SIGUSR2, START_AGAIN), (signal.SIGTERM, ASK_SLURM)],
)
def test_the_exit_code_tells_what_stopped_the_worker(
    number: signal.Signals | None, code: int
) -> None:
    interruption = Interruption()
    if number is not None:
        interruption.request(number)
    assert choose_exit_code(interruption) == code


def test_the_two_codes_are_none_that_python_or_a_shell_uses() -> None:
    assert len({0, 1, 2, START_AGAIN, ASK_SLURM}) == 5
    assert max(START_AGAIN, ASK_SLURM) < 125


def test_a_job_that_nobody_counts_on_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(tmp_path / "e")
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    bundles = [[run_dir.name for run_dir in list_runs(experiment)]]
    submission = make_submission(experiment, number=7, executor="slurm", bundles=bundles)
    assert find_refusal(submission) == ""
    assert find_refusal(replace(submission, job_ids=("77_0",))) == ""
    others = replace(submission, job_ids=("70_0",))
    assert "job 77_0 is not one of submission_007, whose jobs are 70" in find_refusal(others)
    given_up = replace(submission, stage=Stage.GIVEN_UP, problem="its command was killed")
    assert "given up (its command was killed)" in find_refusal(given_up)
    write_submission(experiment, given_up)
    worker = Worker(
        ["-m", "hpcexp.worker", str(experiment.path), "submission_007"],
        log_path=tmp_path / "log",
        environment=dict(os.environ) | JOB,
    )
    assert worker.join() == 0
    assert "nothing is trained" in worker.log
    assert all(read_status(run_dir).state == State.PENDING for run_dir in list_runs(experiment))
