"""A search on a real Slurm: small jobs make the next samples when those before have ended."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.searching import is_searching
from hpcexp.store.status import State
from hpcexp.store.submissions import read_submissions
from tests.launch.test_slurm_cluster import CommandLine, all_in, wait_for
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]
pytest.importorskip("optuna")

DEADLINE_S = 150.0
SAMPLE = (
    "sample={count: 4, method: tpe, start: 2, at_once: 1, axes: {lr: {log_uniform: [1e-4, 0.01]}}}"
)


@pytest.fixture
def hpcexp(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(slurm_cluster, tmp_path)
    slurm_cluster.reset()


def test_jobs_go_on_with_a_search_without_anybody(hpcexp: CommandLine) -> None:
    path = hpcexp.write_template("tiny.yaml", rand_inits=1)
    shown = hpcexp("launch", path, "--slurm", "--set", "grid.rnn_width=null", "--set", SAMPLE)
    assert "2 samples are to come when 2 runs have ended" in shown
    experiment = hpcexp.newest()
    deadline = time.monotonic() + DEADLINE_S
    while is_searching(read_plan(experiment)):
        logs = [path.read_text() for path in experiment.jobs_dir.glob("search_*/search.log")]
        assert time.monotonic() < deadline, logs
        time.sleep(0.5)
    wait_for(experiment, all_in(State.COMPLETED))
    assert len(read_plan(experiment).runs) == 4
    submitted = [name for s in read_submissions(experiment) for b in s.bundles for name in b]
    assert sorted(submitted) == sorted(run.name for run in read_plan(experiment).runs)
    assert [folder.name for folder in sorted(experiment.jobs_dir.glob("search_*"))] == [
        "search_2",
        "search_3",
    ]


def test_a_search_that_is_cancelled_leaves_no_job_and_goes_on_when_it_is_resumed(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    path = hpcexp.write_template("tiny.yaml", rand_inits=1)
    hpcexp("launch", path, "--slurm", "--set", "grid.rnn_width=null", "--set", SAMPLE)
    experiment = hpcexp.newest()
    assert "makes no more samples" in hpcexp("cancel", experiment.name)
    deadline = time.monotonic() + DEADLINE_S
    while queued := subprocess.check_output(["squeue", "-h"], env=slurm_cluster.env):
        assert time.monotonic() < deadline, queued
        time.sleep(0.5)
    assert len(read_plan(experiment).runs) == 2
    assert "2 of 4 samples; cancelled" in hpcexp("status", experiment.name)
    hpcexp("resume", experiment.name, "--state", "cancelled")
    while is_searching(read_plan(experiment)):
        logs = [path.read_text() for path in experiment.jobs_dir.glob("search_*/search.log")]
        assert time.monotonic() < deadline, logs
        time.sleep(0.5)
    wait_for(experiment, all_in(State.COMPLETED))
