from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import pytest

from hpcexp.store.status import State, read_status
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.job import BundleJob, requeue_this_job
from tests.worker.conftest import Worker, list_runs, make_experiment

LOAD = """
import pickle, sys
job = pickle.loads(sys.stdin.buffer.read())
print(job.submission_id, [name for name in ("torch", "pandas") if name in sys.modules])
"""
TRAIN = "import pickle, sys; pickle.loads(open(sys.argv[1], 'rb').read())(0)"
JOB = BundleJob("/shared/experiments/2022_m12_d14@14_58_06_max_epoch", "submission_001")


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for scontrol that notes its arguments in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "scontrol"
    command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls"


def test_a_job_is_small_when_pickled_and_needs_no_torch_to_be_loaded() -> None:
    pickled = cloudpickle.dumps(JOB)
    assert len(pickled) < 300
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        input=pickled,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert loaded.stdout.decode() == "submission_001 []\n"


def test_the_check_above_would_see_torch() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD.replace("job =", "sys.modules['torch'] = sys; job =")],
        input=pickle.dumps(JOB),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert loaded.stdout.decode() == "submission_001 ['torch']\n"


def test_a_job_whose_time_limit_is_near_while_it_imports_torch_stops_and_is_started_again(
    tmp_path: Path, scontrol: Path
) -> None:
    experiment = make_experiment(tmp_path / "e", grid={"rnn_width": [5, 6]})
    pickle_path = tmp_path / "job.pkl"
    pickle_path.write_bytes(pickle.dumps(BundleJob(str(experiment.path), "submission_001")))
    worker = Worker(
        ["-c", TRAIN, str(pickle_path)],
        log_path=tmp_path / "log",
        environment={
            "SLURM_JOB_ID": "81",
            "SLURM_ARRAY_JOB_ID": "77",
            "SLURM_ARRAY_TASK_ID": "3",
        },
    )
    run_dir, next_run_dir = list_runs(experiment)
    worker.wait_until(run_dir.owner_path.exists, "the run to be taken")
    worker.send(signal.SIGUSR2)
    assert worker.join() == 0, worker.log
    status = read_status(run_dir)
    assert (status.state, status.job_id) == (State.INTERRUPTED, "77_3")
    assert status.reason == "the job's time limit is near"
    assert list(run_dir.path.glob("metrics.*")) == []
    assert read_status(next_run_dir).state == State.PENDING
    assert not next_run_dir.owner_path.exists()
    assert scontrol.read_text() == "requeue 77_3\n"


@pytest.mark.parametrize(
    ("number", "calls"), [(signal.SIGUSR2, ["requeue 77"]), (signal.SIGTERM, []), (None, [])]
)
def test_only_a_time_limit_has_the_job_started_again(
    number: signal.Signals | None,
    calls: list[str],
    scontrol: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_bundle(*_arguments: object) -> Interruption:
        interruption = Interruption()
        if number is not None:
            interruption.request(number)
        return interruption

    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setattr("hpcexp.worker.job.run_bundle", run_bundle)
    JOB(0)
    assert (scontrol.read_text().splitlines() if scontrol.exists() else []) == calls


def test_a_requeue_that_slurm_refuses_is_said_in_the_log(
    scontrol: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (scontrol.parent / "bin/scontrol").write_text("#!/bin/sh\necho no such job >&2; exit 1\n")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    requeue_this_job()
    assert "cannot requeue job 77 (no such job); continue with hpcexp resume" in caplog.text


def test_a_node_without_scontrol_says_so_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("PATH", "")
    requeue_this_job()
    assert "cannot requeue job 77 (scontrol: No such file or directory)" in caplog.text
