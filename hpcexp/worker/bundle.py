"""A bundle: the runs that one job trains, one after another."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from hpcexp.errors import RunOwnedError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import find_job_id, read_owner
from hpcexp.store.submissions import Stage, Submission, read_submission
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import start_logging
from hpcexp.worker.notify import notify_if_ended
from hpcexp.worker.pack import train_pack
from hpcexp.worker.packing import find_lane_keys, make_packs
from hpcexp.worker.patience import Patience
from hpcexp.worker.processes import train_in_processes
from hpcexp.worker.run import train_run
from hpcexp.worker.tracking.process import tracking
from hpcexp.worker.usage.sampling import sampling

logger = logging.getLogger("hpcexp.worker")

POLL_EVERY_S = 5.0


@dataclass(frozen=True)
class BundleEnd:
    """How a bundle ended: what interrupted it, if anything did.

    `unwritten` are runs whose directories could not be told how they ended, `exit_codes` those
    of processes that trained them.
    """

    interruption: Interruption
    unwritten: list[str] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)


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
            if only or submission.packing != "processes":
                owned = _train_packs(experiment, submission, names, end)
            else:
                owned = _train_in_processes(experiment, submission, index, end)
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


def _train_packs(
    experiment: ExperimentDir, submission: Submission, names: Sequence[str], end: BundleEnd
) -> list[str]:
    """Train runs, as lanes if the submission says so; returns those that another process owns."""
    packs = make_packs(
        names,
        packing="lanes" if submission.packing == "lanes" else "none",
        size=submission.runs_per_job,
        key_of=find_lane_keys(experiment),
    )
    owned = []
    for pack in packs:
        if end.interruption.signal is not None:
            break
        if len(pack) == 1:
            owned += _train_all(experiment, pack, end)
        else:
            owned += _train_pack(experiment, pack, end)
    return owned


def _train_pack(experiment: ExperimentDir, pack: Sequence[str], end: BundleEnd) -> list[str]:
    packed = train_pack(
        [experiment.run(name) for name in pack],
        interruption=end.interruption,
        num_threads=find_num_threads(),
    )
    end.unwritten.extend(run_dir.name for run_dir in packed.unwritten)
    return [run_dir.name for run_dir in packed.owned]


def _train_in_processes(
    experiment: ExperimentDir, submission: Submission, index: int, end: BundleEnd
) -> list[str]:
    """The same in processes, which look after runs that others own themselves."""
    end.exit_codes.extend(
        train_in_processes(
            experiment,
            submission.id,
            index,
            submission.bundles[index],
            num_processes=submission.runs_per_job,
            num_threads=find_num_threads(),
            interruption=end.interruption,
        )
    )
    return []


def _train_all(experiment: ExperimentDir, names: Sequence[str], end: BundleEnd) -> list[str]:
    """Train runs; returns those that another process owns."""
    owned = []
    for name in names:
        if end.interruption.signal is not None:
            break
        try:
            is_written = train_run(
                experiment.run(name),
                interruption=end.interruption,
                num_threads=find_num_threads(),
            )
            if not is_written:
                end.unwritten.append(name)
        except RunOwnedError as error:
            logger.warning("%s", error)
            owned.append(name)
    return owned


def _wait_for_owners(experiment: ExperimentDir, names: Sequence[str], end: BundleEnd) -> None:
    """Train what others own and do not train: until its owner shows life, or is known dead.

    An owner that has died elsewhere looks alive until its heartbeat expires.
    """
    waiting = {name: _read_beat(experiment, name) for name in names}
    while waiting and end.interruption.signal is None:
        time.sleep(POLL_EVERY_S)
        for name, beat in list(waiting.items()):
            if _read_beat(experiment, name) == beat:
                if not _train_all(experiment, [name], end):
                    del waiting[name]
            else:
                logger.info("%s is trained by another process", name)
                del waiting[name]


def _read_beat(experiment: ExperimentDir, name: str) -> tuple[str, float] | None:
    run_dir = experiment.run(name)
    owner = read_owner(run_dir)
    return None if owner is None else (owner.id, run_dir.owner_path.stat().st_mtime)


def find_num_threads() -> int:
    """CPUs of the job: as the launcher says, else as Slurm says, else all."""
    for variable in ("HPCEXP_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def open_experiment(path: str) -> ExperimentDir:
    """The experiment at a path that a launcher passed on."""
    return ExperimentDir(Path(path))
