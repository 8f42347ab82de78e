"""What a compute node and the login node found about each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpcexp.launch.doctor.findings import Finding, Report, error, passed, warn
from hpcexp.launch.doctor.locking import GRANTED, REFUSED
from hpcexp.launch.doctor.target import Target

SLOW_SIGHT_S = 5.0
SKEW_S = 5.0
ENVIRONMENT = (
    "a job runs this same Python by its path: keep the environment on the shared file system"
)


def compare(login: Report, node: Report, *, target: Target) -> Iterator[Finding]:
    """Whether a job runs the same programs as the login node, and gets its GPUs."""
    yield from _compare_fact(login, node, "python", "version", "Python")
    yield from _compare_fact(login, node, "python", "hpcexp", "hpcexp")
    yield from _compare_fact(login, node, "torch", "version", "torch")
    found = node.get("gpus")
    if target.gpus and found is not None:
        num_gpus = int(found.facts.get("gpus", "0"))
        if num_gpus < target.gpus:
            yield error(
                "job_gpus",
                f"{target.gpus} asked for, {num_gpus} usable by torch",
                todo=found.todo or "see what `nvidia-smi` says in a job",
            )
        else:
            yield passed("job_gpus", f"{target.gpus} asked for, {num_gpus} usable by torch")


def _compare_fact(
    login: Report, node: Report, check: str, fact: str, what: str
) -> Iterator[Finding]:
    findings = login.get(check), node.get(check)
    if findings[0] is None or findings[1] is None:
        return
    here, there = (finding.facts.get(fact, "") for finding in findings if finding is not None)
    if not here or not there:
        return
    name = f"same_{what.lower()}"
    if here == there:
        yield passed(name, here)
    else:
        yield error(name, f"{what} is {here} here, but {there} on the node", todo=ENVIRONMENT)


def judge_sight(times: Mapping[str, Any]) -> Finding:
    """How long a file takes to be seen on the other side, there and back."""
    if times["noticed"] is None:
        return error(
            "shared_directory",
            "what the node writes is seen here, but it never saw what was written here",
            todo="the directory is cached for very long there, or is another one: compare "
            "`findmnt -T DIR` here and in a job",
        )
    round_trip_s = times["noticed"] - times["greeted"]
    found = f"the same one; a file is seen and answered within {round_trip_s:.1f} s"
    if round_trip_s > SLOW_SIGHT_S:
        return warn(
            "shared_directory",
            found,
            todo="status shows what was true that long ago; nothing is taken for dead within "
            "three minutes",
        )
    return passed("shared_directory", found)


def judge_skew(times: Mapping[str, Any], *, seen: float, answered: float) -> Finding | None:
    """How far the clocks are apart, reckoned from four times as NTP does.

    None where one is missing.
    """
    if times["noticed"] is None:
        return None
    ahead_s = ((times["greeted"] - seen) + (times["noticed"] - answered)) / 2
    uncertain_s = ((times["noticed"] - times["greeted"]) - (answered - seen)) / 2
    if abs(ahead_s) - uncertain_s > SKEW_S:
        return warn(
            "clocks",
            f"the node's clock is {ahead_s:+.1f} s from this one's",
            todo="ages are told by the file server's clock, so nothing is taken for dead because "
            "of it; but times in logs do not fit together: tell your administrators (NTP)",
        )
    return passed(
        "clocks", f"the node's is {ahead_s:+.2f} s from this one's (± {uncertain_s:.2f} s)"
    )


def judge_locks(login_lock: str, node_lock: str) -> Finding:
    """What the node got when it tried the lock held here, and the reverse."""
    if (login_lock, node_lock) == (REFUSED, REFUSED):
        return passed("locks_across_hosts", "a lock held on one side is refused on the other")
    if GRANTED in (login_lock, node_lock):
        return warn(
            "locks_across_hosts",
            "a lock held on one side is granted on the other too",
            todo="runs are safe, since taking one does not rely on locks; but type launch, resume "
            "and retry of one experiment on one host only, and see `lock_options` above",
        )
    return warn(
        "locks_across_hosts",
        "there is no flock on one side at least",
        todo="nothing: files whose holders touch them serve as locks",
    )


def judge_srun(code: str) -> Finding:
    """`code` is how srun ended where it did not do its work, else empty."""
    if code:
        return error(
            "srun",
            f"srun failed within the job (exit code {code})",
            todo="hpcexp's jobs begin with srun: its message is below `job`; variables such as "
            "SLURM_MPI_TYPE or a site's profile may be in its way",
        )
    return passed("srun", "works within a job")


def judge_requeue(code: str, answer: str) -> Finding:
    """`code` is how `scontrol requeue` ended in the job; empty where that is not known."""
    if code == "0":
        return passed("requeue", "a job may start itself again")
    said = " ".join(answer.split()) or "no answer"
    return warn(
        "requeue",
        f"a job may not start itself again: {said}",
        todo="a run whose time is up, or whose worker was killed, stays unfinished until you type "
        "`hpcexp resume`; ask for longer time limits, or your administrators to allow it",
    )
