"""Accounting, and this user's limits."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Mapping, Sequence

from hpcexp.launch.doctor.findings import Finding, passed, warn
from hpcexp.launch.doctor.slurm_answers import ASK_TIMEOUT_S
from hpcexp.launch.doctor.target import Target
from hpcexp.launch.slurm.commands import run_command

# What hpcexp does about each limit.
OBEYED = "obeyed: jobs that end submit the rest"
WAITS = "the rest waits in the queue"
ASSOCIATION_LIMITS = {
    "MaxSubmitJobs": OBEYED,
    "GrpSubmitJobs": OBEYED,
    "MaxJobs": WAITS,
    "GrpJobs": WAITS,
    "GrpTRES": WAITS,
    "MaxTRES": "a job that asks for more waits for ever, or is refused",
    "MaxWall": "a job that asks for more waits for ever, or is refused: mind resources.timeout",
    "GrpTRESMins": "when it is used up, jobs wait or end",
}
# Slurm's names for the columns differ from those that it prints, so they are read in this order.
QOS_LIMITS = {
    "MaxSubmitJobsPerUser": "obeyed where the template names the QOS, else when sbatch refuses",
    "GrpSubmitJobs": "obeyed where the template names the QOS, else when sbatch refuses",
    "MaxJobsPerUser": WAITS,
    "GrpTRES": WAITS,
    "MaxTRESPerUser": WAITS,
    "MaxWall": ASSOCIATION_LIMITS["MaxWall"],
}


def check_sacct(_: Target) -> Finding:
    """Whether accounting answers, and how fast."""
    start = time.perf_counter()
    told = run_command(
        *("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID"),
        "--starttime=now-1hours",
        timeout_s=ASK_TIMEOUT_S,
    )
    if not told.is_ok:
        return warn(
            "sacct",
            told.problem,
            todo="while it does not answer, status knows why a job ended only as long as squeue "
            "remembers it; nothing is lost",
        )
    return passed("sacct", f"answers in {time.perf_counter() - start:.1f} s")


def check_limits(target: Target) -> Finding:
    """Which limits this user has, and which of them hpcexp obeys."""
    user = getpass.getuser()
    told = _ask("assoc", f"user={user}", ("Account", "Partition", "QOS", *ASSOCIATION_LIMITS))
    if isinstance(told, str):
        return warn(
            "limits",
            f"not known: sacctmgr: {told}",
            todo="hpcexp finds them out when sbatch refuses; it then submits fewer jobs",
        )
    associations = [a for a in told if target.account in (None, a["Account"])]
    if not associations:
        return judge_no_association(user, target, accounts=[a["Account"] for a in told])
    names = {name for a in associations for name in a["QOS"].split(",") if name}
    if target.qos:
        names &= {target.qos}
    qos = _ask("qos", *([",".join(sorted(names))] if names else []), ("Name", *QOS_LIMITS))
    lines = [
        *describe_associations(associations),
        *(describe_qos(qos) if not isinstance(qos, str) and names else []),
    ]
    accounts = ", ".join(dict.fromkeys(a["Account"] for a in associations))
    found = f"account {accounts}; " + ("with limits:" if lines else "no limits")
    return passed("limits", found, details=lines)


def judge_no_association(user: str, target: Target, *, accounts: Sequence[str]) -> Finding:
    """Where accounting does not know the user, or not in that account."""
    if target.account:
        yours = f"yours: {', '.join(accounts)}" if accounts else "you have none"
        return warn(
            "limits", f"you are not in account {target.account} ({yours})", todo="--account NAME"
        )
    return warn(
        "limits",
        f"accounting does not know {user}",
        todo="where jobs are refused (see `acceptance`), ask your administrators for an account",
    )


def describe_associations(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A line for each limit of each account."""
    for row in rows:
        place = f"account {row['Account']}"
        if row["Partition"]:
            place += f" in partition {row['Partition']}"
        yield from _describe_limits(place, row, ASSOCIATION_LIMITS)


def describe_qos(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A line for each limit of each quality of service."""
    for row in rows:
        yield from _describe_limits(f"QOS {row['Name']}", row, QOS_LIMITS)


def _describe_limits(
    place: str, row: Mapping[str, str], meanings: Mapping[str, str]
) -> Iterator[str]:
    for limit, meaning in meanings.items():
        if row[limit]:
            yield f"{place}: {limit} {row[limit]} ({meaning})"


def _ask(what: str, *words_and_fields: str | Sequence[str]) -> list[dict[str, str]] | str:
    """The rows that sacctmgr shows, or why it does not."""
    *words, fields = words_and_fields
    told = run_command(
        *("sacctmgr", "--noheader", "--parsable2", "show", what),
        *map(str, words),
        f"format={','.join(fields)}",
        timeout_s=ASK_TIMEOUT_S,
    )
    if not told.is_ok:
        return told.problem
    rows = (line.split("|") for line in told.stdout.splitlines())
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]
