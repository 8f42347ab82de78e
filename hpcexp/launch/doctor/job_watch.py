"""Following one job through the queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hpcexp.launch.slurm.commands import run_command
from hpcexp.launch.slurm.queue import Job

ASK_EVERY_S = 3.0
# With these a job waits until somebody changes something.
HOPELESS = frozenset(
    {
        *("PartitionTimeLimit", "PartitionNodeLimit", "PartitionDown", "PartitionInactive"),
        *("BadConstraints", "InvalidAccount", "InvalidQOS", "AccountNotAllowed", "QOSNotAllowed"),
        *("JobHeldUser", "JobHeldAdmin"),
    }
)
UNKNOWN = Job("UNKNOWN")


@dataclass(frozen=True)
class Seen:
    """What squeue says of the job now, and for how long it has been in that state."""

    job: Job
    for_s: float


class JobWatch:
    """Asks squeue every few seconds, and announces what has changed."""

    def __init__(self, job_id: str, *, announce: Callable[[str], None]) -> None:
        self.job_id, self._announce = job_id, announce
        self._job, self._since, self._asked = UNKNOWN, time.monotonic(), float("-inf")

    def look(self, *, at_once: bool = False) -> Seen:
        """The job's state, at most a few seconds old."""
        if at_once or time.monotonic() - self._asked >= ASK_EVERY_S:
            job = self._ask()
            self._asked = time.monotonic()
            if job.state != self._job.state:
                self._since = self._asked
            if job != self._job:
                self._announce(f"job {self.job_id} {describe_job(job)}")
            self._job = job
        return Seen(self._job, time.monotonic() - self._since)

    def _ask(self) -> Job:
        told = run_command(
            *("squeue", "--noheader", "--states=all", f"--jobs={self.job_id}", "--format=%T|%r|%N")
        )
        if told.is_ok and told.stdout.strip():
            state, reason, node = told.stdout.splitlines()[0].split("|")
            return Job(state, reason, node)
        if told.is_ok or "Invalid job id" in told.stderr:  # it ended some time ago
            return Job("COMPLETED")
        return self._job  # a controller that is away for a moment says nothing about the job


def describe_job(job: Job) -> str:
    """Such as `waits: Resources`."""
    if job.is_waiting:
        reason = job.reason if job.reason not in ("", "None") else "not looked at yet"
        return f"waits: {reason}"
    where = f" on {job.node}" if job.node else ""
    if job.is_live:
        return f"is {job.state.lower()}{where}"
    return f"ended{where} ({job.state.lower().replace('_', ' ')})"
