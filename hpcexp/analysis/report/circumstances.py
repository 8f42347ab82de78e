"""What a report says of jobs and machines, which only those who launch runs know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpcexp.store.status import RunStatus


@dataclass(frozen=True)
class TroubledRun:
    """A run that failed, was cut short or diverged: why, and what to type next.

    `evidence` are the lines of a log that show it.
    """

    name: str
    state: str
    reason: str
    advice: str = ""
    evidence: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Accounted:
    """What Slurm's accounting knows of the jobs of an experiment, all their starts.

    `energy_joules` is None where no node measures it. It is measured for whole nodes: what
    others did there at the same time is in it.
    """

    num_jobs: int
    elapsed_s: float
    gpu_hours: float
    cpu_hours: float
    energy_joules: float | None


@dataclass(frozen=True)
class Circumstances:
    """How an experiment stands at one moment.

    `statuses` are by run, with what the queue says of silent ones; `num_troubled` counts more
    runs than `troubled` names where there are many.
    """

    statuses: Mapping[str, RunStatus]
    troubled: tuple[TroubledRun, ...] = ()
    num_troubled: int = 0
    accounted: Accounted | None = None
    is_queue_known: bool = True
    remarks: tuple[str, ...] = field(default=())
