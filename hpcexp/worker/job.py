"""The callable that submitit pickles: two strings and a number, never a model."""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass

from hpcexp.worker.bundle import open_experiment, run_bundle

logger = logging.getLogger("hpcexp.worker")


@dataclass(frozen=True)
class BundleJob:
    """Trains bundle `index` of a submission inside a Slurm job."""

    experiment_path: str
    submission_id: str

    def __call__(self, index: int) -> None:
        """Train; where the time limit comes first, have Slurm start this job again."""
        experiment = open_experiment(self.experiment_path)
        interruption = run_bundle(experiment, self.submission_id, index)
        if interruption.wants_requeue:
            requeue_this_job()


def requeue_this_job() -> None:
    """Ask Slurm to start this job again under its id; `hpcexp resume` is the other way."""
    job_id = os.environ.get("SLURM_JOB_ID", "")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job_id = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job_id], capture_output=True, text=True)
        problem = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        problem = f"scontrol: {error.strerror}"
    if problem:
        logger.error("cannot requeue job %s (%s); continue with hpcexp resume", job_id, problem)
