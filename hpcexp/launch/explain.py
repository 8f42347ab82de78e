"""Why a run is silent: what its job says about it."""

from __future__ import annotations

import os
import socket
from datetime import datetime

from hpcexp.launch.slurm.queue import Job, QueueAnswer
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import read_process_start
from hpcexp.store.status import CUT_SHORT, RunStatus, State
from hpcexp.store.submissions import Stage, Submission
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN


def explain_silence(
    experiment: ExperimentDir,
    status: RunStatus,
    place: tuple[Submission, int] | None,
    answer: QueueAnswer,
) -> RunStatus:
    """The status of a run whose own directory does not say what becomes of it."""
    if place is None:
        return _settle(status, reason="it was never handed to a job")
    submission, index = place
    if _goes_on_since(submission, status):
        return _settle(status, reason="to go on with a longer budget; not handed to a job yet")
    if submission.executor != "slurm":
        return _explain_local(status, submission)
    job = answer.live.get((submission.job_name, index))
    if job is not None:
        return _explain_live(status, job)
    if not answer.is_known:
        since = _describe_time(status.updated or submission.created)
        return status.explain(
            reason=f"unknown since {since}: squeue did not answer ({answer.problem})"
        )
    if submission.stage == Stage.HELD:
        why = "on hold, until hpcexp release" if submission.is_on_hold else submission.problem
        return status.explain(reason=f"held: {why}")
    ended = answer.ended.get((submission.job_name, index))
    how, obstacle = _read_note(experiment, submission, index)
    if ended is None:
        explained = _settle(status, reason=how or _describe_missing(submission))
    else:
        explained = _explain_ended(status, ended, how=how)
    if not obstacle:
        return explained
    return explained.explain(reason=f"{explained.reason}; not started again: {obstacle}")


def _goes_on_since(submission: Submission, status: RunStatus) -> bool:
    """Whether a run was extended after it had ended: its last job says nothing about it then."""
    is_extended = status.state == State.PENDING and status.continued_from is not None
    return is_extended and status.updated > submission.created


def _explain_local(status: RunStatus, submission: Submission) -> RunStatus:
    if status.state != State.RUNNING and is_driver_alive(submission):
        reason = "waits for its turn on this machine"
        return status.explain(state=State.SUBMITTED, reason=reason, hint="")
    return _settle(status, reason="killed, or its launcher ended")


def _explain_live(status: RunStatus, job: Job) -> RunStatus:
    before = f"{status.state.words} at step {status.step}; " if status.state in CUT_SHORT else ""
    if job.is_waiting:
        why = f" ({job.reason})" if job.reason and job.reason != "None" else ""
        return status.explain(
            state=State.SUBMITTED, reason=f"{before}waits in the queue{why}", hint=""
        )
    if status.state == State.RUNNING:
        before = f"its process died at step {status.step}; "
    reason = f"{before}its job is {job.state.lower()}" + (f" on {job.node}" if job.node else "")
    return status.explain(state=State.SUBMITTED, reason=reason, hint="")


def _describe_missing(submission: Submission) -> str:
    if submission.stage == Stage.SUBMITTING:
        return "its command was killed before sbatch accepted its job"
    return "its job has left the queue, and accounting does not say how it ended"


def _explain_ended(status: RunStatus, job: Job, *, how: str) -> RunStatus:
    """By how its job ended, and `how` its worker did, where the batch shell wrote that down.

    What the run itself wrote down last is more exact, if it could.
    """
    on = f" on {job.node}" if job.node else ""
    at = f" after step {status.step}" if status.step else ""
    signal = job.signal or (job.exit_code - 128 if job.exit_code > 128 else 0)
    if signal:
        how = how or f"its process was killed by signal {signal}"
    if job.state in ("TIMEOUT", "DEADLINE"):
        return status.explain(state=State.TIMED_OUT, reason=f"its job's time was up{at}")
    if job.state == "PREEMPTED":
        return status.explain(state=State.PREEMPTED, reason=f"its job was preempted{on}{at}")
    if job.state in ("NODE_FAIL", "BOOT_FAIL"):
        reason = f"node {job.node or 'unknown'} failed{at} ({job.state})"
        return status.explain(state=State.NODE_FAILURE, reason=reason)
    if job.state == "OUT_OF_MEMORY":
        reason = f"out of memory of the host: the kernel killed its process{on}{at}"
        return status.explain(state=State.OUT_OF_MEMORY, reason=reason)
    if job.state in ("CANCELLED", "REVOKED"):
        by = job.reason.partition(" ")[2]
        reason = f"its job was {job.state.lower()}{f' {by}' if by else ''}{at}, not with hpcexp"
        return status.explain(state=State.CANCELLED, reason=reason)
    if status.state in CUT_SHORT:
        return status
    if how and status.state == State.RUNNING:
        return status.explain(state=State.LOST, reason=f"{how}{on}{at}")
    if signal:
        reason = f"its job was ended by signal {signal}{on} before the run began"
        return status.explain(state=State.LOST, reason=reason)
    if status.state == State.RUNNING:
        return _settle(status, reason=f"its job ended as {job.state}{on}")
    if job.exit_code in (START_AGAIN, ASK_SLURM):
        return status.explain(reason=f"its job was stopped{on} before the run began")
    if job.exit_code:
        reason = f"its job ended with exit code {job.exit_code}{on} before the run began"
        return status.explain(state=State.FAILED, reason=reason)
    return _settle(status, reason=f"its job ended as {job.state} without it")


def _settle(status: RunStatus, *, reason: str) -> RunStatus:
    """Nobody works on the run: it is as it was, or lost if it claims to be running."""
    if status.state == State.RUNNING:
        reason = f"its process is gone ({reason})"
        return status.explain(state=State.LOST, reason=reason)
    return status.explain(reason=status.reason or reason)


def _read_note(experiment: ExperimentDir, submission: Submission, index: int) -> tuple[str, str]:
    """How the worker ended, and why its job was not started again, by the batch shell."""
    try:
        note = experiment.not_requeued_path(submission.id, index).read_text(errors="replace")
    except OSError:
        return "", ""
    how, _, obstacle = note.partition("\n")
    return how, " ".join(obstacle.split())


def _describe_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds)
    is_today = moment.date() == datetime.now().date()
    return moment.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def is_driver_alive(submission: Submission) -> bool:
    """Whether the launcher of a local submission may be at work; one elsewhere may always be."""
    driver = submission.driver
    if driver is None:
        return False
    if driver.host != socket.gethostname():
        return True
    if driver.pid == os.getpid():
        return True
    return read_process_start(driver.pid) == driver.process_start is not None
