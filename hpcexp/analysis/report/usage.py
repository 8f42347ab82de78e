"""What an experiment used: hours, machines, energy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpcexp.analysis.report.circumstances import Accounted
from hpcexp.store.experiment import Plan
from hpcexp.store.status import FINISHED, RunStatus
from hpcexp.store.usage import JobUsage
from hpcexp.worker.usage.describe import describe_usage, sum_usages

JOULES_PER_KWH = 3.6e6
MAX_MACHINES = 8


@dataclass(frozen=True)
class GroupUsage:
    """Hours that the runs of a group trained, those that came to an end of their own apart."""

    label: str
    num_begun: int
    hours: float
    median_hours: float | None
    finished_hours: float


@dataclass(frozen=True)
class Usage:
    """Of an experiment so far, all attempts; hours of GPUs and cores are as jobs asked for them.

    `sampled` are lines about what jobs used of that.
    """

    groups: tuple[GroupUsage, ...]
    hours: float
    gpu_hours: float
    core_hours: float
    asked: str
    hosts: str
    devices: str
    accounted: Accounted | None
    sampled: tuple[str, ...] = ()

    @property
    def energy_kwh(self) -> float | None:
        """None where Slurm does not know."""
        joules = None if self.accounted is None else self.accounted.energy_joules
        return None if joules is None else joules / JOULES_PER_KWH


def measure_usage(
    plan: Plan,
    statuses: Mapping[str, RunStatus],
    labels: Mapping[str, str],
    *,
    accounted: Accounted | None,
    jobs: Sequence[JobUsage] = (),
) -> Usage:
    """Sum up what runs say of themselves; `labels` are of groups, in the order of figures.

    `jobs` are what was sampled while they ran.
    """
    members = plan.list_members()
    groups = tuple(
        _measure_group(label, [statuses[run.name] for run in members[name] if run.name in statuses])
        for name, label in labels.items()
    )
    hours = sum(group.hours for group in groups)
    whole = sum_usages(jobs)
    resources = {key: value for key, value in plan.resources.items() if value not in (None, {}, [])}
    return Usage(
        groups=groups,
        hours=hours,
        gpu_hours=hours * int(resources.get("gpus", 0)),
        core_hours=hours * int(resources.get("cpus", 1)),
        asked=", ".join(f"{key} {_spell(value)}" for key, value in resources.items()),
        hosts=_count(status.host for status in statuses.values()),
        devices=_count(str(status.machine.get("device", "")) for status in statuses.values()),
        accounted=accounted,
        sampled=() if whole is None else tuple(describe_usage(whole, plan.resources)),
    )


def _measure_group(label: str, statuses: list[RunStatus]) -> GroupUsage:
    begun = [s for s in statuses if s.trained_s]
    finished = sorted(s.trained_s / 3600 for s in begun if s.state in FINISHED)
    return GroupUsage(
        label=label,
        num_begun=len(begun),
        hours=sum(s.trained_s for s in begun) / 3600,
        median_hours=finished[len(finished) // 2] if finished else None,
        finished_hours=sum(finished),
    )


def _count(names: Iterable[str]) -> str:
    """`gpu-12 (20 runs), gpu-7 (4 runs)`."""
    counts = Counter(name for name in names if name)
    shown = [
        f"{name} ({count} {'run' if count == 1 else 'runs'})"
        for name, count in counts.most_common(MAX_MACHINES)
    ]
    if len(counts) > MAX_MACHINES:
        shown.append(f"{len(counts) - MAX_MACHINES} more")
    return ", ".join(shown)


def _spell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)
