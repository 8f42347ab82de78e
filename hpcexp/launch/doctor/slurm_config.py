"""What the cluster's configuration means for hpcexp."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from hpcexp.launch.doctor.checking import Check, look_safely
from hpcexp.launch.doctor.findings import Finding, error, passed, warn
from hpcexp.launch.doctor.slurm_answers import ASK_TIMEOUT_S
from hpcexp.launch.doctor.target import Target
from hpcexp.launch.slurm.commands import run_command

Config = Mapping[str, str]
SHORT_KILL_WAIT_S = 10
SHORT_JOB_AGE_S = 120


def check_config(_: Target) -> list[Finding]:
    """A finding for each setting that hpcexp has to live with."""
    told = run_command("scontrol", "show", "config", timeout_s=ASK_TIMEOUT_S)
    if not told.is_ok:
        return [
            warn(
                "config",
                f"scontrol show config: {told.problem}",
                todo="hpcexp takes Slurm's defaults for granted, such as arrays of 1000 jobs",
            )
        ]
    config = parse_config(told.stdout)
    return [
        finding
        for name, judge in JUDGES.items()
        for finding in look_safely(Check(name, judge), config)
    ]


def parse_config(text: str) -> dict[str, str]:
    """The settings of `scontrol show config`; `(null)` and `N/A` are empty."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {
        name.strip(): "" if value.strip() in ("(null)", "N/A") else value.strip()
        for name, _, value in pairs
    }


def judge_array_size(config: Config) -> Finding:
    """The size of one array."""
    size = _read_number(config.get("MaxArraySize", ""))
    if size is None:
        return _unknown("MaxArraySize", "arrays are made for 1001")
    if size < 2:
        return error(
            "MaxArraySize",
            f"{size}: no job arrays",
            todo="hpcexp submits arrays only: ask your administrators for MaxArraySize, or train "
            "with --local",
        )
    return passed("MaxArraySize", f"{size}; obeyed: a launch has no more jobs than that")


def judge_job_count(config: Config) -> Finding:
    """How many jobs the whole cluster takes."""
    count = config.get("MaxJobCount", "")
    return passed(
        "MaxJobCount",
        f"{count or 'not told'} jobs of all users; a launch tries again while they are too many",
    )


def judge_requeue(config: Config) -> Finding:
    """Whether Slurm itself starts jobs again after a lost node."""
    value = config.get("JobRequeue", "")
    note = "also without it: jobs ask for --requeue" if value == "0" else "jobs ask for it anyway"
    return passed("JobRequeue", f"{value or 'not told'}; {note}")


def judge_kill_wait(config: Config) -> Finding:
    """How long a job that must go has to save a checkpoint."""
    seconds = _read_number(config.get("KillWait", ""))
    if seconds is None:
        return _unknown("KillWait", "checkpoints are saved every few minutes")
    found = f"a job that is cancelled or preempted has {seconds} s to save a checkpoint"
    if seconds < SHORT_KILL_WAIT_S:
        return warn(
            "KillWait",
            found,
            todo="where saving takes longer, a run continues from the last regular checkpoint, at "
            "most five minutes old; time limits are told earlier and lose nothing",
        )
    return passed("KillWait", found)


def judge_job_age(config: Config) -> Finding:
    """How long squeue remembers jobs that have ended."""
    seconds = _read_number(config.get("MinJobAge", ""))
    if seconds is None:
        return _unknown("MinJobAge", "ended jobs may be forgotten at once")
    found = f"squeue remembers ended jobs for {seconds} s"
    if seconds < SHORT_JOB_AGE_S and not _has_accounting(config):
        return warn(
            "MinJobAge",
            found,
            todo="there is no accounting, so after that nobody knows why a job ended",
        )
    return passed("MinJobAge", found)


def judge_preemption(config: Config) -> Finding:
    """What becomes of a job that must make room."""
    value = config.get("PreemptMode", "")
    modes = set(value.split(","))
    if "CANCEL" in modes:
        return warn(
            "PreemptMode",
            f"{value}: preempted jobs are cancelled",
            todo="`hpcexp resume` continues their runs from the last checkpoints",
        )
    if "SUSPEND" in modes:
        return warn(
            "PreemptMode",
            f"{value}: preempted jobs stop where they are and keep their memory",
            todo="their runs look silent in status until they go on",
        )
    if "REQUEUE" in modes:
        return passed("PreemptMode", f"{value}: preempted jobs start again from their checkpoint")
    return passed(
        "PreemptMode", f"{value or 'not told'}: jobs are not preempted, unless a partition says so"
    )


def judge_rate_limit(config: Config) -> Finding:
    """How many questions a user may ask."""
    texts = (config.get("SlurmctldParameters", ""), config.get("SchedulerParameters", ""))
    parameters = [p for text in texts for p in text.split(",")]
    limits = [p for p in parameters if p.startswith(("rl_", "max_rpc_cnt", "defer"))]
    if "rl_enable" in limits:
        return passed(
            "rate_limit",
            f"{','.join(limits)}; a launch asks a handful of questions, status one or two",
        )
    return passed("rate_limit", ",".join(limits) or "none on questions to the controller")


def judge_accounting(config: Config) -> Finding:
    """Whether there is a database of ended jobs."""
    value = config.get("AccountingStorageType", "")
    if not _has_accounting(config):
        age = config.get("MinJobAge", "300 sec")
        return warn(
            "accounting",
            f"none ({value or 'not set'})",
            todo=f"{age} after a job has ended, status no longer knows why (out of memory, "
            "time limit, node failure): look within that time. What a run says itself is kept",
        )
    return passed("accounting", value)


def judge_enforcement(config: Config) -> Finding:
    """Whether the limits of accounts count."""
    value = config.get("AccountingStorageEnforce", "")
    if value in ("", "none"):
        return passed("enforcement", "none: limits of accounts are advice; hpcexp follows them")
    return passed("enforcement", f"{value}: jobs beyond your account's limits are refused or wait")


JUDGES: Mapping[str, Callable[[Config], Finding]] = {
    "MaxArraySize": judge_array_size,
    "MaxJobCount": judge_job_count,
    "JobRequeue": judge_requeue,
    "KillWait": judge_kill_wait,
    "MinJobAge": judge_job_age,
    "PreemptMode": judge_preemption,
    "rate_limit": judge_rate_limit,
    "accounting": judge_accounting,
    "enforcement": judge_enforcement,
}


def _has_accounting(config: Config) -> bool:
    return config.get("AccountingStorageType", "") not in ("", "none", "accounting_storage/none")


def _read_number(text: str) -> int | None:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None


def _unknown(name: str, instead: str) -> Finding:
    return warn(name, "not told by the cluster", todo=instead)
