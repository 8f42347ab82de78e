"""A bundle: the runs that one job trains."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import find_job_id, read_owner
from hpcexp.store.submissions import Stage, Submission, read_submission
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import start_logging
from hpcexp.worker.notify import notify_if_ended
from hpcexp.worker.packer import BundleEnd, Packer, find_num_threads, train_all
from hpcexp.worker.patience import Patience
from hpcexp.worker.tracking.process import tracking
from hpcexp.worker.usage.sampling import sampling

logger = logging.getLogger("hpcexp.worker")

POLL_EVERY_S = 5.0


def run_bundle(
    experiment: ExperimentDir, submission_id: str, index: int, *, only: Sequence[str] = ()
) -> BundleEnd:
    """Train the runs of one bundle, or `only` some of them.

    Raises HpcexpError where the submission cannot be read.
    """
    end = BundleEnd(Interruption())
    start_logging()
    with end.interruption.noting_signals():
        patience = Patience(experiment.path, end.interruption)
        submission = patience(
            lambda: read_submission(experiment, submission_id), is_refusal_final=True
        )
        if reason := find_refusal(submission):
            logger.warning("%s: nothing is trained", reason)
            return end
        names = only or submission.bundles[index]
        # Of a bundle that is trained by several processes, their parent looks after this.
        with (
            nullcontext() if only else sample_job(experiment, submission, index),
            tracking(experiment, () if only else names, end.interruption),
        ):
            owned = Packer(experiment, submission, index, end).train(names, is_share=bool(only))
            _wait_for_owners(experiment, owned, end)
        if end.interruption.signal is None:
            notify_if_ended(experiment)
    return end


def sample_job(
    experiment: ExperimentDir, submission: Submission, index: int
) -> AbstractContextManager[None]:
    """Within, what the job uses of its GPU, CPUs and memory is sampled and written down."""
    is_packed = submission.packing != "none"
    num_runs = min(submission.runs_per_job, len(submission.bundles[index])) if is_packed else 1
    path = experiment.usage_path(submission.id, index)
    return sampling(path, num_cpus=find_num_threads(), num_runs=num_runs)


def find_refusal(submission: Submission) -> str:
    """Why this job must train nothing: nobody counts on it; empty where it may."""
    if submission.stage == Stage.GIVEN_UP:
        return f"{submission.id} was given up ({submission.problem})"
    job_id = find_job_id(os.environ)
    if submission.executor == "slurm" and submission.job_ids and job_id:
        known = {job.partition("_")[0] for job in submission.job_ids}
        if job_id.partition("_")[0] not in known:
            return f"job {job_id} is not one of {submission.id}, whose jobs are {', '.join(known)}"
    return ""


def _wait_for_owners(experiment: ExperimentDir, names: Sequence[str], end: BundleEnd) -> None:
    """Train what others own and do not train: until its owner shows life, or is known dead.

    An owner that has died elsewhere looks alive until its heartbeat expires.
    """
    waiting = {name: _read_beat(experiment, name) for name in names}
    while waiting and end.interruption.signal is None:
        time.sleep(POLL_EVERY_S)
        for name, beat in list(waiting.items()):
            if _read_beat(experiment, name) == beat:
                if not train_all(experiment, [name], end):
                    del waiting[name]
            else:
                logger.info("%s is trained by another process", name)
                del waiting[name]


def _read_beat(experiment: ExperimentDir, name: str) -> tuple[str, float] | None:
    run_dir = experiment.run(name)
    owner = read_owner(run_dir)
    return None if owner is None else (owner.id, run_dir.owner_path.stat().st_mtime)


def open_experiment(path: str) -> ExperimentDir:
    """The experiment at a path that a launcher passed on."""
    return ExperimentDir(Path(path))
