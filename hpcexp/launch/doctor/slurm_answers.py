"""Whether Slurm's commands are there and answer, and how fast."""

from __future__ import annotations

import os
import re
import shutil
import time

from hpcexp.launch.doctor.findings import Finding, error, passed, warn
from hpcexp.launch.doctor.target import Target
from hpcexp.launch.slurm.commands import Completed, run_command

NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")
USEFUL = {
    "sacct": "why jobs ended that have left the queue",
    "sacctmgr": "how many jobs you may submit",
    "sinfo": "which partitions there are",
}
# squeue --me; the tests run on 22.05.
OLDEST = (20, 2)
ASK_TIMEOUT_S = 12.0
SLOW_S = 2.0


def check_commands(_: Target) -> Finding:
    """Whether the commands are on PATH that launching, status and cancelling use."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return error(
            "commands",
            f"not on PATH: {', '.join(missing)}",
            todo="load your cluster's Slurm module, or ask its administrators for the client "
            "commands on this host",
        )
    lacking = {name: use for name, use in USEFUL.items() if shutil.which(name) is None}
    if lacking:
        return warn(
            "commands",
            f"not on PATH: {', '.join(lacking)}",
            todo=f"without them hpcexp does not know {'; '.join(lacking.values())}",
        )
    return passed("commands", ", ".join((*NEEDED, *USEFUL)))


def check_version(_: Target) -> Finding:
    """Whether Slurm is new enough."""
    path = os.environ.get("SLURM_CONF", "")
    if path and not os.access(path, os.R_OK):  # for which Slurm's commands would wait a minute
        return error(
            "version",
            f"SLURM_CONF is {path}, which cannot be read",
            todo="unset SLURM_CONF, or let it name your cluster's slurm.conf",
        )
    told = run_command("sbatch", "--version", timeout_s=ASK_TIMEOUT_S)
    if not told.is_ok:
        return error(
            "version",
            f"sbatch does not know its cluster: {told.problem}",
            todo="Slurm is installed here but not set up: SLURM_CONF must name the cluster's "
            "slurm.conf. Is this a login node? If it is no cluster at all: --local",
        )
    return judge_version(told.stdout.strip())


def judge_version(text: str) -> Finding:
    """`text` is what `sbatch --version` prints."""
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None:
        return warn(
            "version", f"{text!r:.60}", todo="hpcexp cannot read that: 20.02 or newer is needed"
        )
    if (int(found[1]), int(found[2])) < OLDEST:
        return error(
            "version", text, todo="hpcexp needs Slurm 20.02: --local trains on this machine"
        )
    return passed("version", text, facts={"version": text})


def check_controller(_: Target) -> Finding:
    """Whether slurmctld is up."""
    told, waited_s = _ask("scontrol", "ping")
    if not told.is_ok or " UP" not in told.stdout:
        return error(
            "controller",
            " ".join(told.stdout.split()) or told.problem,
            todo="nothing can be submitted now; jobs that run go on. Try again later, or tell your "
            "cluster's administrators",
        )
    return passed("controller", f"up, answers in {waited_s:.1f} s")


def check_queue(_: Target) -> Finding:
    """Whether squeue answers, and how fast: status waits for it."""
    told, waited_s = _ask("squeue", "--noheader", "--me", "--array", "--format=%T")
    if not told.is_ok:
        return error(
            "queue",
            f"squeue: {told.problem}",
            todo="status cannot tell what waits from what was lost; try again later",
        )
    num_jobs = len(told.stdout.split())
    jobs = "1 job" if num_jobs == 1 else f"{num_jobs} jobs"
    found = f"squeue answers in {waited_s:.1f} s; {jobs} of yours"
    if waited_s > SLOW_S:
        return warn(
            "queue", found, todo="the controller is busy: do not run status --watch all day"
        )
    return passed("queue", found)


def _ask(*argv: str) -> tuple[Completed, float]:
    start = time.perf_counter()
    told = run_command(*argv, timeout_s=ASK_TIMEOUT_S)
    return told, time.perf_counter() - start
