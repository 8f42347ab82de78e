"""A bundle: the runs that one job trains, one after another."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import read_submission
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.run import train_run

logger = logging.getLogger("hpcexp.worker")


def run_bundle(experiment: ExperimentDir, submission_id: str, index: int) -> Interruption:
    """Train the runs of one bundle; returns the interruption that ended it early, if one did."""
    interruption = Interruption()
    start_logging()
    with interruption.noting_signals():
        for name in read_submission(experiment, submission_id).bundles[index]:
            if interruption.signal is not None:
                break
            train_run(
                experiment.run(name),
                interruption=interruption,
                num_threads=find_num_threads(),
            )
    return interruption


def find_num_threads() -> int:
    """CPUs of the job: as the launcher says, else as Slurm says, else all."""
    for variable in ("HPCEXP_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def start_logging() -> None:
    """Log to standard error, which is the job's log."""
    root = logging.getLogger("hpcexp")
    root.setLevel(logging.INFO)
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        root.addHandler(handler)


def open_experiment(path: str) -> ExperimentDir:
    """The experiment at a path that a launcher passed on."""
    return ExperimentDir(Path(path))
