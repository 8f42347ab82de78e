"""What the cluster allows this user to submit."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass

from hpcexp.launch.slurm.commands import run_command

DEFAULT_MAX_ARRAY_SIZE = 1001  # Slurm's own


@dataclass(frozen=True)
class Limits:
    """How large an array may be, and how many jobs may be submitted; None: no limit known.

    `num_queued` are this user's jobs, elements of arrays counted, that are in the queue now.
    """

    max_array_size: int = DEFAULT_MAX_ARRAY_SIZE
    max_submit_jobs: int | None = None
    num_queued: int = 0

    @property
    def room(self) -> int | None:
        """How many jobs may be submitted now."""
        if self.max_submit_jobs is None:
            return None
        return max(0, self.max_submit_jobs - self.num_queued)


def ask_limits(*, qos: str | None = None) -> Limits:
    """Ask the cluster: two or three calls. What it does not tell counts as no limit."""
    max_submit_jobs = _ask_max_submit_jobs(qos)
    return Limits(
        max_array_size=_ask_max_array_size(),
        max_submit_jobs=max_submit_jobs,
        num_queued=_count_queued() if max_submit_jobs is not None else 0,
    )


def _ask_max_array_size() -> int:
    shown = run_command("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown.stdout, re.MULTILINE)
    return int(found[1]) if found else DEFAULT_MAX_ARRAY_SIZE


def _ask_max_submit_jobs(qos: str | None) -> int | None:
    """The least of the limits of this user's associations; and of the QOS, if one is named."""
    user = getpass.getuser()
    told = run_command(
        "sacctmgr",
        "--noheader",
        "--parsable2",
        "show",
        "assoc",
        f"user={user}",
        "format=MaxSubmitJobs,GrpSubmitJobs",
    )
    limits = _read_numbers(told.stdout) if told.is_ok else []
    if qos:
        told = run_command(
            "sacctmgr",
            "--noheader",
            "--parsable2",
            "show",
            "qos",
            qos,
            "format=MaxSubmitJobsPerUser,GrpSubmitJobs",
        )
        limits += _read_numbers(told.stdout) if told.is_ok else []
    return min(limits, default=None)


def _read_numbers(text: str) -> list[int]:
    return [int(number) for number in re.split(r"[|\n]", text) if number.strip().isdigit()]


def _count_queued() -> int:
    """A job that has ended and is being cleaned up does not count any more."""
    told = run_command("squeue", "--noheader", "--me", "--array", "--format=%T")
    return sum(state != "COMPLETING" for state in told.stdout.split()) if told.is_ok else 0
