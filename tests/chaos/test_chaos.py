"""A short rage on the real cluster; `benchmarks/chaos.py --minutes 20` is a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.trial import run_trial
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


def test_every_run_completes_once_with_the_numbers_of_an_undisturbed_one(
    slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    try:
        trial = run_trial(slurm_cluster, tmp_path, seed=1, seconds=60, num_runs=6, num_steps=2500)
    finally:
        slurm_cluster.reset()
    assert trial.not_completed == []
    assert trial.completed_twice == []
    assert trial.different == []
    assert len(trial.faults) >= 6
    assert trial.num_attempts > 6
