"""What Slurm says of our jobs: one batched question, and no answer is never a verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hpcexp.launch.slurm.commands import NOT_FOUND, run_command
from hpcexp.store.submissions import Submission

Place = tuple[str, int]
"""A job's unique name, and its index in the array."""

WAITING = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)
AT_WORK = frozenset(
    {
        *("RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING"),
        *("SIGNALING", "STAGE_OUT"),
    }
)
_LINE = "%i|%j|%T|%r|%N"
_SACCT_FIELDS = "JobID,JobName,State,ExitCode,NodeList"


@dataclass(frozen=True)
class Job:
    """A job's state in Slurm's words, such as `PENDING`.

    `reason` is why it waits. `signal` is what killed it, 0 if nothing did.
    """

    state: str
    reason: str = ""
    node: str = ""
    exit_code: int = 0
    signal: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the job is in the queue and has not begun, or is to begin again."""
        return self.state in WAITING

    @property
    def is_live(self) -> bool:
        """Whether the job waits or is at work, or Slurm uses a word that is not known here."""
        return self.state not in ENDED


ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)


@dataclass(frozen=True)
class QueueAnswer:
    """What is known of jobs.

    Where `is_known` is false, squeue did not answer: a job that is not in `live` may be
    waiting or at work. `ended` holds jobs that Slurm knows to have ended.
    """

    is_known: bool = True
    live: dict[Place, Job] = field(default_factory=dict)
    ended: dict[Place, Job] = field(default_factory=dict)
    problem: str = ""


def ask_slurm(submissions: Sequence[Submission]) -> QueueAnswer:
    """One squeue for all submissions, and one sacct where jobs have left the queue."""
    asked = [s for s in submissions if s.executor == "slurm"]
    if not asked:
        return QueueAnswer()
    names = [s.job_name for s in asked]
    told = run_command(
        *("squeue", "--noheader", "--array", "--states=all", f"--format={_LINE}"),
        f"--name={','.join(names)}",
    )
    if not told.is_ok:
        problem = "there is no squeue here" if told.returncode == NOT_FOUND else told.problem
        return QueueAnswer(is_known=False, problem=problem)
    jobs = {place: job for _, place, job in _parse_squeue(told.stdout)}
    live = {place: job for place, job in jobs.items() if job.is_live}
    ended = {place: job for place, job in jobs.items() if not job.is_live}
    if len(jobs) < sum(len(s.bundles) for s in asked):
        # What squeue has seen more lately wins: accounting lags behind it.
        ended = {**_ask_sacct(asked, names), **ended}
    return QueueAnswer(live=live, ended={p: j for p, j in ended.items() if p not in live})


def _ask_sacct(submissions: Sequence[Submission], names: Sequence[str]) -> dict[Place, Job]:
    """Job ids are reused: only jobs of our unique names, since the first was submitted."""
    told = run_command(
        *("sacct", "--noheader", "--parsable2", "--allocations", f"--format={_SACCT_FIELDS}"),
        f"--starttime={_format_start(submissions)}",
        f"--name={','.join(names)}",
    )
    jobs = {place: job for _, place, job in _parse_sacct(told.stdout)} if told.is_ok else {}
    return {place: job for place, job in jobs.items() if not job.is_live}


def _format_start(submissions: Iterable[Submission]) -> str:
    first = min(s.created for s in submissions)
    return datetime.fromtimestamp(first - 60).strftime("%Y-%m-%dT%H:%M:%S")


def ask_array(submission: Submission) -> str | None:
    """The id of a submission's array; empty where Slurm has none, None where it is silent."""
    told = run_command(
        *("squeue", "--noheader", "--states=all", f"--format={_LINE}"),
        f"--name={submission.job_name}",
    )
    if not told.is_ok:
        return None
    for array_id, _, _ in _parse_squeue(told.stdout):
        return array_id
    told = run_command(
        *("sacct", "--noheader", "--parsable2", "--allocations", f"--format={_SACCT_FIELDS}"),
        f"--starttime={_format_start([submission])}",
        f"--name={submission.job_name}",
    )
    for array_id, _, _ in _parse_sacct(told.stdout) if told.is_ok else ():
        return array_id
    return ""


def is_in_queue(job_name: str) -> bool | None:
    """Whether a job of that name waits or is at work; None where squeue is silent."""
    told = run_command("squeue", "--noheader", f"--format={_LINE}", f"--name={job_name}")
    if not told.is_ok:
        return None
    return any(job.is_live for _, _, job in _parse_squeue(told.stdout))


def find_array(job_name: str) -> str:
    """The id of the array of that name if squeue shows it, else nothing."""
    told = run_command("squeue", "--noheader", f"--format={_LINE}", f"--name={job_name}")
    for array_id, _, _ in _parse_squeue(told.stdout) if told.is_ok else ():
        return array_id
    return ""


def _parse_squeue(output: str) -> Iterator[tuple[str, Place, Job]]:
    for line in output.splitlines():
        fields = line.split("|")
        if len(fields) != 5:
            continue
        job_id, name, state, reason, node = fields
        for array_id, index in expand_job_id(job_id):
            yield array_id, (name, index), Job(state, reason, node)


def _parse_sacct(output: str) -> Iterator[tuple[str, Place, Job]]:
    for line in output.splitlines():
        fields = line.split("|")
        if len(fields) != 5 or not fields[2]:
            continue
        job_id, name, state, code, node = fields
        exit_code, _, signal = code.partition(":")
        job = Job(
            state.split()[0].rstrip("+"),
            state,
            "" if node == "None assigned" else node,
            int(exit_code) if exit_code.isdigit() else 0,
            int(signal) if signal.isdigit() else 0,
        )
        for array_id, index in expand_job_id(job_id):
            yield array_id, (name, index), job


def expand_job_id(job_id: str) -> Iterator[tuple[str, int]]:
    """Array id and index of each job that an id stands for: `77_3`, `77_[0,2-5%2]`, `77`.

    An id that was cut short (`77_[1,3,...]`) stands for what can be read of it.
    """
    array_id, _, indices = job_id.partition("_")
    if not indices:
        yield array_id, 0
        return
    for part in indices.strip("[]").partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found:
            first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
            yield from ((array_id, index) for index in range(first, last + 1, step))
