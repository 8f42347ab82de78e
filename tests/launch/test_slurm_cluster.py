"""Experiments on a real Slurm: what is asserted is results, not exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import RunStatus, State, read_status
from hpcexp.store.submissions import read_submissions
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

QUICKSTART = Path(__file__).parents[2] / "templates" / "quickstart.yaml"
DEADLINE_S = 120.0

SMALL = """
workload: sps
params:
  dataset: {resolution: 8, num_frames: 6, ball_radius: 1.0}
  vae_channels: [2]
  rnn_min_context: 3
  batch_size: 2
  train_set_size: 8
  validate_set_size: 4
  max_step: %(max_step)d
  eval_every: 50
grid: {rnn_width: %(widths)s}
rand_inits: %(rand_inits)d
resources: {cpus: 1, mem_gb: 1, timeout: %(timeout)s}
"""


class CommandLine:
    """`hpcexp`, typed on the cluster's login node."""

    def __init__(self, cluster: SlurmCluster, directory: Path) -> None:
        self.cluster, self.directory = cluster, directory

    def __call__(self, *arguments: str, exit_code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hpcexp", *arguments],
            cwd=self.directory,
            env=self.cluster.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == exit_code, done.stderr + done.stdout
        return done.stdout + done.stderr

    def write_template(self, name: str, **values: Any) -> str:
        settings = {"max_step": 6, "widths": "[4]", "rand_inits": 2, "timeout": "10m", **values}
        path = self.directory / name
        path.write_text(SMALL % settings)
        return str(path)

    def newest(self) -> ExperimentDir:
        return list_experiments(self.directory / "experiments")[0]


@pytest.fixture
def hpcexp(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(slurm_cluster, tmp_path)
    slurm_cluster.reset()


def read_statuses(experiment: ExperimentDir) -> dict[str, RunStatus]:
    return {r.name: read_status(experiment.run(r.name)) for r in read_plan(experiment).runs}


def wait_for(
    experiment: ExperimentDir, condition: Callable[[dict[str, RunStatus]], bool]
) -> dict[str, RunStatus]:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        statuses = read_statuses(experiment)
        if condition(statuses):
            return statuses
        assert time.monotonic() < deadline, {n: (s.state, s.reason) for n, s in statuses.items()}
        time.sleep(0.3)


def wait_for_accounting(cluster: SlurmCluster, job_name: str) -> list[dict[str, str]]:
    """What accounting says of jobs once they have ended for it too: it lags behind the queue."""
    cluster.wait_until_idle(timeout_s=60)
    deadline = time.monotonic() + 60
    while True:
        jobs = cluster.sacct(name=job_name)
        if jobs and not any(job["State"] in ("PENDING", "RUNNING") for job in jobs):
            return jobs
        assert time.monotonic() < deadline, jobs
        time.sleep(0.3)


def all_in(*states: State) -> Callable[[dict[str, RunStatus]], bool]:
    return lambda statuses: all(s.state in states for s in statuses.values())


def test_the_quickstart_completes_sacct_agrees_and_it_can_be_plotted(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    dry = hpcexp("launch", str(QUICKSTART), "--slurm", "--profile", "smoke", "--dry-run")
    assert not (hpcexp.directory / "experiments").exists()
    launched = hpcexp("launch", str(QUICKSTART), "--slurm", "--profile", "smoke")
    experiment = hpcexp.newest()
    assert experiment.name in launched
    assert "hpcexp plot" in launched
    assert_script_is_what_the_dry_run_said(experiment, dry)
    statuses = wait_for(experiment, all_in(State.COMPLETED, State.FAILED))
    assert all_in(State.COMPLETED)(statuses)
    submission = read_submissions(experiment)[0]
    jobs = wait_for_accounting(slurm_cluster, submission.job_name)
    assert [job["State"] for job in jobs] == ["COMPLETED"] * len(statuses)
    plotted = hpcexp("plot", "quickstart")
    assert f"{len(statuses)} of {len(statuses)} runs" in plotted
    assert len(list(experiment.plots_dir.glob("*.png"))) >= 3


def assert_script_is_what_the_dry_run_said(experiment: ExperimentDir, dry_run: str) -> None:
    """But for the time in the directory's name, and the hash of its place in the job's."""
    submission = read_submissions(experiment)[0]
    script = experiment.script_path(submission.id).read_text()
    named = next(line for line in dry_run.splitlines() if "would make" in line)
    dry_name = named.split("/")[-2]
    dry_job = next(line for line in dry_run.splitlines() if "--job-name" in line).split("=")[1]
    expected = dry_run.replace(dry_job, submission.job_name).replace(dry_name, experiment.name)
    lines = [line for line in script.splitlines() if line.strip() and "command" not in line]
    assert len(lines) > 10
    assert [line for line in lines if line not in expected] == []


def test_64_initialisations_as_lanes_are_four_jobs_and_64_runs(hpcexp: CommandLine) -> None:
    path = hpcexp.write_template("lanes.yaml", rand_inits=64, max_step=8)
    text = Path(path).read_text().replace("cpus: 1", "packing: lanes, runs_per_job: 16, cpus: 1")
    Path(path).write_text(text)
    assert "16 at a time as lanes of one program" in hpcexp("launch", path, "--slurm", "--dry-run")
    hpcexp("launch", path, "--slurm")
    experiment = hpcexp.newest()
    statuses = wait_for(experiment, all_in(State.COMPLETED, State.FAILED))
    assert all_in(State.COMPLETED)(statuses)
    assert len({status.job_id for status in statuses.values()}) == 4
    assert {status.machine["lanes"] for status in statuses.values()} == {16}
    assert len(statuses) == 64
    tables = [read_metrics(experiment.run(name).path) for name in statuses]
    assert {table.step.max() for table in tables} == {8}
    assert len({table.values.tobytes() for table in tables}) == 64


def test_the_report_has_the_hours_that_slurm_counted(hpcexp: CommandLine) -> None:
    hpcexp("launch", hpcexp.write_template("small.yaml"), "--slurm")
    hpcexp.cluster.wait_until_idle(timeout_s=DEADLINE_S)
    submission = read_submissions(hpcexp.newest())[0]
    wait_for_accounting(hpcexp.cluster, submission.job_name)
    hpcexp("report", "small")
    page = hpcexp.newest().report_path.read_text()
    counted = re.search(r"<dd>0 GPU-hours, ([\d.]+) core-hours in (\d+) starts of jobs", page)
    assert counted is not None
    assert counted[2] == "2"
    assert "no node of the cluster measures it" in page  # energy: known to nobody, and said


def test_one_run_fails_and_the_others_finish(hpcexp: CommandLine) -> None:
    """A hidden state of ten million units does not fit into any memory."""
    template = hpcexp.write_template("memory.yaml", widths="[4, 10000000]", rand_inits=1)
    hpcexp("launch", template, "--slurm")
    experiment = hpcexp.newest()
    statuses = wait_for(experiment, all_in(State.COMPLETED, State.OUT_OF_MEMORY))
    assert statuses["rnn_width=4_rand_0"].state == State.COMPLETED
    failed = statuses["rnn_width=10000000_rand_0"]
    assert failed.state == State.OUT_OF_MEMORY
    assert "out of memory" in failed.reason
    status = hpcexp("status", "memory")
    assert "out of memory" in status
    assert "Traceback" in hpcexp("logs", "memory", "rnn_width=10000000_rand_0")
    assert "1 of 2 runs" in hpcexp("plot", "memory")


def test_cancel_ends_waiting_and_training_runs_and_resume_continues_them(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    template = hpcexp.write_template("long.yaml", max_step=1500, rand_inits=6)
    hpcexp("launch", template, "--slurm")
    experiment = hpcexp.newest()
    first = "rnn_width=4_rand_0"
    wait_for(experiment, lambda s: s[first].state == State.RUNNING and s[first].step > 0)
    hpcexp("cancel", "long")
    statuses = wait_for(experiment, all_in(State.CANCELLED, State.COMPLETED))
    slurm_cluster.wait_until_idle(timeout_s=60)
    assert statuses[first].state == State.CANCELLED
    assert statuses["rnn_width=4_rand_5"].attempt == 0
    assert "nothing to do" in hpcexp("resume", "long", "--slurm")
    hpcexp("resume", "long", first, "rnn_width=4_rand_5", "--slurm")
    assert "nothing to do" in hpcexp("resume", "long", first, "--slurm")
    resumed = wait_for(experiment, lambda s: s[first].state == State.COMPLETED)
    assert resumed[first].attempt == 2
    log = experiment.run(first).log_path(2).read_text()
    assert "continuing from step" in log
    wait_for(experiment, lambda s: s["rnn_width=4_rand_5"].state == State.COMPLETED)


def test_a_worker_that_is_killed_is_started_again_by_its_batch_shell(
    hpcexp: CommandLine,
) -> None:
    template = hpcexp.write_template("killed.yaml", max_step=1500, rand_inits=1)
    hpcexp("launch", template, "--slurm")
    experiment = hpcexp.newest()
    name = "rnn_width=4_rand_0"
    running = wait_for(experiment, lambda s: s[name].state == State.RUNNING and s[name].step > 0)
    subprocess.run(["kill", "-9", str(running[name].pid)], check=True)
    ended = wait_for(experiment, all_in(State.COMPLETED))
    assert ended[name].attempt == 2
    assert "hpcexp: its process was killed by signal 9; the job is started again" in (
        experiment.job_log_path("submission_001", 0).read_text()
    )
    assert len(read_submissions(experiment)) == 1


def test_a_worker_that_is_killed_and_may_not_be_started_again_can_be_resumed(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    template = hpcexp.write_template("killed.yaml", max_step=1500, rand_inits=1)
    hpcexp("launch", template, "--slurm", "--set", "resources.max_restarts=0")
    experiment = hpcexp.newest()
    name = "rnn_width=4_rand_0"
    running = wait_for(experiment, lambda s: s[name].state == State.RUNNING and s[name].step > 0)
    subprocess.run(["kill", "-9", str(running[name].pid)], check=True)
    wait_for_accounting(slurm_cluster, read_submissions(experiment)[0].job_name)
    status = hpcexp("status", "killed")
    assert "lost: its process was killed by signal 9 on n" in status
    assert "not started again: started again 0 times, the most that the template" in status
    assert "hpcexp resume" in status
    hpcexp("resume", "killed", "--slurm")
    wait_for(experiment, all_in(State.COMPLETED))


def test_what_a_template_asks_for_reaches_the_job(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    """A GPU, an excluded node, setup lines, another sbatch option, one job at a time."""
    base = hpcexp.write_template("small.yaml", rand_inits=2)
    noted = hpcexp.directory / "noted"
    template = hpcexp.directory / "asks.yaml"
    template.write_text(
        f"extends: {Path(base).name}\n"
        "resources:\n"
        "  gpus: 1\n"
        "  exclude: [n2]\n"
        "  max_parallel: 1\n"
        "  sbatch: {comment: from the template}\n"
        "  setup:\n"
        f'    - echo "gpu $CUDA_VISIBLE_DEVICES on $SLURMD_NODENAME" >> {noted}\n'
    )
    hpcexp("launch", str(template), "--slurm")
    experiment = hpcexp.newest()
    assert experiment.short_name == "asks"
    statuses = wait_for(experiment, all_in(State.COMPLETED, State.FAILED))
    assert all_in(State.COMPLETED)(statuses)
    assert sorted(noted.read_text().splitlines()) == ["gpu 0 on n1", "gpu 0 on n1"]
    first, second = statuses.values()
    assert first.ended is not None
    assert second.started is not None
    assert first.ended < second.started
    submission = read_submissions(experiment)[0]
    script = experiment.script_path(submission.id).read_text()
    assert "#SBATCH --comment='from the template'" in script
    jobs = wait_for_accounting(slurm_cluster, submission.job_name)
    assert [job["NodeList"] for job in jobs] == ["n1", "n1"]
    assert all("gres/gpu=1" in job["AllocTRES"] for job in jobs)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_four_minutes_of_training_complete_in_jobs_of_two_with_progress_in_every_attempt(
    hpcexp: CommandLine,
) -> None:
    """As many steps as take four minutes here, now; each start of the job has two.

    The pace is that of the second half of a short run: the first steps are slow.
    """
    template = hpcexp.write_template("limit.yaml", max_step=1000, rand_inits=1, timeout="2m")
    name = "rnn_width=4_rand_0"
    hpcexp("launch", template, "--inline", "--name", "measured")
    measured = read_metrics(hpcexp.newest().run(name).path)
    half = len(measured) // 2
    pace_s = (measured.time[-1] - measured.time[half]) / (measured.step[-1] - measured.step[half])
    num_steps = int(240 / pace_s)
    hpcexp("launch", template, "--slurm", "--set", f"params.max_step={num_steps}")
    run = hpcexp.newest().run(name)
    deadline = time.monotonic() + 900
    while (status := read_status(run)).state != State.COMPLETED:
        assert time.monotonic() < deadline, status
        assert status.state != State.FAILED, status
        time.sleep(1)
    begun = [0]
    for attempt in range(2, status.attempt + 1):
        text = run.log_path(attempt).read_text()
        begun += [int(step) for step in re.findall(r"continuing from step (\d+)", text)]
    print(f"{num_steps} steps in {status.trained_s:.0f} s, attempts began at {begun}")
    assert len(begun) == status.attempt >= 2
    assert all(earlier < later for earlier, later in pairwise([*begun, num_steps]))
    table = read_metrics(run.path)
    steps = table.step[table.split == 0]
    assert (steps[1:] > steps[:-1]).all()
    assert steps[-1] == num_steps
