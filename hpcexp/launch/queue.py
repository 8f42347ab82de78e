"""What Slurm says of our jobs: one batched question, and no answer is never a verdict."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hpcexp.store.submissions import Submission

QUERY_TIMEOUT_S = 30
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING", "RESV_DEL_HOLD"})
# Accounting lags behind the queue: for a moment it says this of jobs that have ended.
NOT_ENDED = WAITING | {"RUNNING", "COMPLETING", "SUSPENDED", "RESIZING"}


@dataclass(frozen=True)
class Job:
    """A job's state in Slurm's words, such as `PENDING`, and why."""

    state: str
    reason: str = ""

    @property
    def is_waiting(self) -> bool:
        """Whether the job is in the queue and has not begun."""
        return self.state in WAITING


@dataclass(frozen=True)
class QueueAnswer:
    """Jobs by (job name, index in the array).

    `live` is None where squeue failed: nothing is known then. `ended` holds jobs that are
    in the queue no more, as far as accounting knows them.
    """

    live: dict[tuple[str, int], Job] | None
    ended: dict[tuple[str, int], Job]


def ask_slurm(submissions: Sequence[Submission]) -> QueueAnswer:
    """One squeue for all submissions, and one sacct where jobs have left the queue."""
    names = [s.job_name for s in submissions if s.executor == "slurm"]
    if not names or not shutil.which("squeue"):
        return QueueAnswer(live=None if names else {}, ended={})
    live = _ask_squeue(names)
    if live is None:
        return QueueAnswer(live=None, ended={})
    total = sum(len(s.bundles) for s in submissions if s.executor == "slurm")
    ended = _ask_sacct(submissions, names) if len(live) < total else {}
    return QueueAnswer(live, ended)


def _ask_squeue(names: Sequence[str]) -> dict[tuple[str, int], Job] | None:
    output = _run(
        "squeue", "--noheader", "--array", "--format=%i|%j|%T|%r", f"--name={','.join(names)}"
    )
    return None if output is None else _parse(output)


def _ask_sacct(
    submissions: Sequence[Submission], names: Sequence[str]
) -> dict[tuple[str, int], Job]:
    """Job ids are reused: only jobs of our unique names, since the first was submitted."""
    first = min(s.created for s in submissions)
    start = datetime.fromtimestamp(first - 60).strftime("%Y-%m-%dT%H:%M:%S")
    output = _run(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--format=JobID,JobName,State,ExitCode",
        f"--starttime={start}",
        f"--name={','.join(names)}",
    )
    jobs = _parse(output) if output else {}
    return {place: job for place, job in jobs.items() if job.state not in NOT_ENDED}


def _parse(output: str) -> dict[tuple[str, int], Job]:
    jobs = {}
    for line in output.splitlines():
        job_id, name, state, reason = (*line.split("|"), "", "", "")[:4]
        index = job_id.partition("_")[2]
        if not state or (index and not index.isdigit()):
            continue
        jobs[name, int(index or 0)] = Job(state.split()[0], reason)
    return jobs


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
