"""Looks on a real Slurm: each is a job that waits for the runs, and submits those that follow."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcexp.store.deciding import Deciding, read_deciding
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from hpcexp.store.submissions import read_submissions
from tests.launch.test_slurm_cluster import CommandLine, all_in, read_statuses, wait_for
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

DEADLINE_S = 200.0
# Groups that differ a lot, so that more runs are worth while.
GROUPS = ("--set", "grid.rnn_width=null", "--set", "grid.max_step=[1, 40]")


@pytest.fixture
def hpcexp(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(slurm_cluster, tmp_path)
    slurm_cluster.reset()


def wait_until(
    experiment: ExperimentDir, condition: Callable[[Deciding], bool], *, deadline_s: float
) -> Deciding:
    deadline = time.monotonic() + deadline_s
    while True:
        deciding = read_deciding(experiment)
        assert deciding is not None
        if condition(deciding):
            return deciding
        logs = [path.read_text() for path in experiment.jobs_dir.glob("look_*/look.log")]
        assert time.monotonic() < deadline, (deciding, read_statuses(experiment), logs)
        time.sleep(0.5)


def test_jobs_take_the_looks_and_submit_the_runs_that_follow(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    path = hpcexp.write_template("tiny.yaml", rand_inits=2)
    hpcexp("launch", path, "--slurm", *GROUPS)
    experiment = hpcexp.newest()
    shown = hpcexp(
        "extend", "tiny", "--until-decided", "--max-rand-inits", "6", "--looks", "3", "--slurm"
    )  # fmt: skip
    assert "looks at 2, 3 and 6 initialisations per group" in shown
    first = read_deciding(experiment)
    assert first is not None
    if not first.looks:
        assert first.job is not None
        assert first.job.job_id
        assert f"job {first.job.job_id} takes it when" in shown
    deciding = wait_until(experiment, lambda d: d.is_over, deadline_s=DEADLINE_S)
    statuses = wait_for(experiment, all_in(State.COMPLETED))
    wanted = deciding.plan.looks[len(deciding.looks) - 1]
    assert len(deciding.looks) > 1
    assert len(statuses) == 2 * wanted
    submitted = [name for s in read_submissions(experiment) for b in s.bundles for name in b]
    assert sorted(submitted) == sorted(run.name for run in read_plan(experiment).runs)
    assert f"deciding: {len(deciding.looks)} of 3 looks" in hpcexp("status", "tiny")
    logs = [path.read_text() for path in experiment.jobs_dir.glob("look_*/look.log")]
    assert any("decided   after look" in log for log in logs), logs


def test_looks_go_on_when_the_job_of_one_was_lost(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    path = hpcexp.write_template("tiny.yaml", rand_inits=2)
    hpcexp("launch", path, "--slurm", *GROUPS)
    experiment = hpcexp.newest()
    hpcexp("extend", "tiny", "--until-decided", "--max-rand-inits", "6", "--looks", "3", "--slurm")
    deciding = read_deciding(experiment)
    assert deciding is not None
    assert deciding.job is not None
    subprocess.run(["scancel", deciding.job.job_id], env=slurm_cluster.env, check=True)
    wait_for(experiment, all_in(State.COMPLETED))
    slurm_cluster.wait_until_idle(timeout_s=60)
    number = deciding.job.look  # 2 where the runs at hand had ended before they were extended
    due = f"look {number} (at {number + 1} per group) is due: hpcexp look"
    assert due in hpcexp("status", "tiny")
    assert f"look {number} at {number + 1} initialisations" in hpcexp("resume", "tiny", "--slurm")
    wait_until(experiment, lambda d: d.is_over, deadline_s=DEADLINE_S)
