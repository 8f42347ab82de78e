"""One call of sbatch, until it is known whether the cluster has the jobs."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.slurm.commands import TIMED_OUT, Completed, run_command
from hpcexp.launch.slurm.queue import find_array
from hpcexp.launch.slurm.script import write_script
from hpcexp.store.files import write_text
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Stage, Submission, write_submission
from hpcexp.template import Resources

BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SBATCH_TIMEOUT_S = 120.0
# What the controller says when it is away or busy: the jobs may have been accepted.
TRANSIENT = (
    "socket timed out",
    "unable to contact slurm controller",
    "temporarily unable to accept job",
    "connection refused",
    "connection reset",
    "zero bytes were transmitted",
    "communication connection failure",
    "message receive failure",
    "message send failure",
    "resource temporarily unavailable",
    "backup controller",
)
NO_ROOM = (
    "maxsubmitjob",
    "grpsubmitjob",
    "job submit limit",
    "maxarraysize",
    "invalid job array specification",
)


class NoRoomError(HpcexpError):
    """The cluster takes fewer jobs than that."""


class RefusedError(HpcexpError):
    """The cluster refuses such jobs."""


class UnknownOutcomeError(HpcexpError):
    """The cluster did not say whether it has the jobs."""


def submit(experiment: ExperimentDir, submission: Submission, resources: Resources) -> Submission:
    """Submit an array under the submission lock; returns the record with its job ids.

    Before each call and after it the record on disk says how far it got. A controller that
    is busy is asked again, and first whether it has the jobs already.

    Raises NoRoomError or RefusedError, in which case there are no jobs, and
    UnknownOutcomeError where there may be: `settle` finds out later.
    """
    submitting = dataclasses.replace(submission, stage=Stage.SUBMITTING, job_ids=(), problem="")
    write_submission(experiment, submitting)
    path = experiment.script_path(submission.id)
    path.parent.mkdir(exist_ok=True)
    write_text(path, write_script(experiment, submission, resources))
    array_id, done = call_sbatch(path, job_name=submission.job_name)
    if array_id:
        return mark_submitted(experiment, submitting, array_id)
    if not _is_transient(done):
        _raise_refusal(experiment, submitting, done)
    raise UnknownOutcomeError(
        f"sbatch did not answer ({done.problem}): whether the jobs are in the queue is not known\n"
        f"when the cluster answers again: hpcexp resume {experiment.name}"
    )


def call_sbatch(path: Path, *, job_name: str) -> tuple[str, Completed]:
    """Hand a script over; returns the job's id, empty where there is none, and the last answer.

    A controller that is away or busy is asked again, and first whether it has the job already.
    """
    for pause_s in (*BACK_OFF_S, None):
        done = run_command("sbatch", "--parsable", str(path), timeout_s=SBATCH_TIMEOUT_S)
        if done.is_ok and (job_id := _read_job_id(done.stdout)):
            return job_id, done
        if pause_s is None or not _is_transient(done):
            break
        time.sleep(pause_s)
        if job_id := find_array(job_name):
            return job_id, done
    return "", done


def mark_submitted(experiment: ExperimentDir, submission: Submission, array_id: str) -> Submission:
    """Write down which jobs a submission has."""
    job_ids = tuple(f"{array_id}_{index}" for index in range(len(submission.bundles)))
    submitted = dataclasses.replace(submission, stage=Stage.SUBMITTED, job_ids=job_ids)
    write_submission(experiment, submitted)
    return submitted


def give_up(experiment: ExperimentDir, submission: Submission, problem: str) -> None:
    """Write down that a submission has no jobs and will have none."""
    given_up = dataclasses.replace(submission, stage=Stage.GIVEN_UP, problem=problem)
    write_submission(experiment, given_up)


def _read_job_id(output: str) -> str:
    """`--parsable` prints the id, and the cluster where there are several."""
    found = re.match(r"(\d+)(;|$)", output.strip().splitlines()[-1] if output.strip() else "")
    return found[1] if found else ""


def _is_transient(done: Completed) -> bool:
    return done.returncode == TIMED_OUT or _says(done, TRANSIENT)


def _says(done: Completed, texts: tuple[str, ...]) -> bool:
    said = (done.stderr + done.stdout).lower()
    return any(text in said for text in texts)


def _raise_refusal(experiment: ExperimentDir, submission: Submission, done: Completed) -> None:
    give_up(experiment, submission, done.problem)
    if _says(done, NO_ROOM):
        raise NoRoomError(done.problem)
    raise RefusedError(
        f"sbatch refused: {done.problem}\n"
        f"the experiment is kept; after mending the cause: hpcexp resume {experiment.name}"
    )
