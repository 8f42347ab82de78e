"""One experiment undisturbed on this machine, the same one under faults on the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hpcexp.launch.prepare import prepare
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import MetricsTable, read_metrics
from hpcexp.store.status import State
from hpcexp.template import load_template
from tests.chaos.faults import Chaos, disk_of_one_mb
from tests.slurm_cluster.cluster import SlurmCluster

TEMPLATE = """
name: %(name)s
workload: sps
params:
  dataset: {resolution: 8, num_frames: 6, ball_radius: 1.0}
  vae_channels: [2]
  rnn_min_context: 3
  batch_size: 2
  train_set_size: 8
  validate_set_size: 4
  max_step: %(num_steps)d
  eval_every: 25
rand_inits: %(num_runs)d
resources: {cpus: 1, mem_gb: 1, timeout: 10m}
"""


@dataclass(frozen=True)
class Trial:
    """What became of the runs; `faults` counts each kind."""

    faults: dict[str, int]
    num_runs: int
    num_attempts: int
    not_completed: list[str]
    completed_twice: list[str]
    different: list[str]


def run_trial(
    cluster: SlurmCluster,
    directory: Path,
    *,
    seed: int,
    seconds: float,
    num_runs: int,
    num_steps: int,
) -> Trial:
    """Launch, harm, mend, resume, and compare each run with its undisturbed twin."""
    values = {"num_runs": num_runs, "num_steps": num_steps}
    undisturbed = _make(directory, name="undisturbed", **values)
    local = ["resume", undisturbed.name, "--local", "--jobs", str(os.cpu_count() or 1)]
    _type(directory, *local, env=dict(os.environ))
    harmed = _make(directory, name="harmed", **values)
    first = harmed.run(read_plan(harmed).runs[0].name)
    with disk_of_one_mb(first.path):
        _type(directory, "launch", "--continue", harmed.name, "--slurm", env=_often(cluster))
        chaos = Chaos(cluster, harmed, seed=seed)
        chaos.rage(seconds)
        statuses = chaos.complete(timeout_s=240)
        return Trial(
            faults=dict(chaos.counts),
            num_runs=num_runs,
            num_attempts=sum(s.attempt for s in statuses.values()),
            not_completed=[n for n, s in statuses.items() if s.state != State.COMPLETED],
            completed_twice=[n for n in statuses if _count_ends(harmed, n) != 1],
            different=[n for n in statuses if not _are_equal(harmed, undisturbed, n)],
        )


def _make(directory: Path, *, name: str, **values: int) -> ExperimentDir:
    path = directory / f"{name}.yaml"
    path.write_text(TEMPLATE % {"name": name, **values})
    return prepare(load_template(path), experiments_dir=directory / "experiments")


def _often(cluster: SlurmCluster) -> dict[str, str]:
    """Checkpoints once a second: runs of seconds must be able to get on."""
    return {**cluster.env, "HPCEXP_CHECKPOINT_EVERY_S": "1"}


def _type(directory: Path, *arguments: str, env: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "hpcexp", *arguments],
        cwd=directory,
        env=env,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _count_ends(experiment: ExperimentDir, run: str) -> int:
    """How many attempts said that they completed the run."""
    logs = experiment.run(run).logs_dir.glob("attempt_*.log")
    return sum(" completed after " in log.read_text() for log in logs)


def _are_equal(one: ExperimentDir, other: ExperimentDir, run: str) -> bool:
    """The same rows, bit for bit."""
    tables: list[MetricsTable] = [read_metrics(e.run(run).path) for e in (one, other)]
    first, second = tables
    same_rows = first.step.tobytes() == second.step.tobytes()
    return same_rows and first.values.tobytes() == second.values.tobytes()
