"""What Slurm's accounting knows that jobs used: hours, GPUs, energy.

Energy: ConsumedEnergyRaw, in joules, of acct_gather_energy plugins (`man sacct`). A plugin
measures whole nodes; without one the field is 0 or empty, and then nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from hpcexp.launch.slurm.commands import run_command
from hpcexp.store.submissions import Submission

_FIELDS = "JobID,JobName,ElapsedRaw,AllocTRES,ConsumedEnergyRaw"
_NO_VALUES = (0xFFFFFFFE, 0xFFFFFFFF)  # Slurm's NO_VAL and INFINITE, and their 64-bit twins above
_MAX_JOULES = 1e15


@dataclass(frozen=True)
class JobUse:
    """One start of a job; `joules` is 0 where nobody measured."""

    elapsed_s: float
    num_gpus: int
    num_cpus: int
    joules: float


def ask_use(submissions: Sequence[Submission]) -> list[JobUse]:
    """Every start of every job of the submissions, with one question; empty where sacct is silent.

    A job that was requeued was started several times, and used what all of them did.
    """
    asked = [s for s in submissions if s.executor == "slurm"]
    if not asked:
        return []
    first = datetime.fromtimestamp(min(s.created for s in asked) - 60)
    told = run_command(
        *("sacct", "--noheader", "--parsable2", "--duplicates", f"--format={_FIELDS}"),
        f"--starttime={first:%Y-%m-%dT%H:%M:%S}",
        f"--name={','.join(s.job_name for s in asked)}",
    )
    names = {s.job_name for s in asked}
    return list(_parse(told.stdout.splitlines(), names)) if told.is_ok else []


def _parse(lines: Iterable[str], names: set[str]) -> Iterator[JobUse]:
    """A job's own line, then one for each of its steps.

    Older Slurm has the energy in the steps alone. They overlap (the extern step lasts as long
    as the job), so that the largest counts and not their sum.
    """
    current: JobUse | None = None
    for line in lines:
        fields = line.split("|")
        if len(fields) != 5:
            continue
        job_id, name, elapsed, tres, energy = fields
        if "." in job_id:
            if current is not None:
                joules = max(current.joules, _parse_energy(energy))
                current = JobUse(current.elapsed_s, current.num_gpus, current.num_cpus, joules)
            continue
        if current is not None:
            yield current
        is_ours = name in names and elapsed.isdigit() and int(elapsed) > 0
        current = (
            JobUse(
                float(elapsed), _find(tres, "gres/gpu"), _find(tres, "cpu"), _parse_energy(energy)
            )
            if is_ours
            else None
        )
    if current is not None:
        yield current


def _find(tres: str, name: str) -> int:
    """A number in `billing=4,cpu=4,gres/gpu=1,gres/gpu:a100=1,mem=8G,node=1`."""
    found = re.search(rf"(?:^|,){re.escape(name)}=(\d+)", tres)
    return int(found[1]) if found else 0


def _parse_energy(text: str) -> float:
    joules = float(text) if text.isdigit() else 0.0
    return 0.0 if joules in _NO_VALUES or joules > _MAX_JOULES else joules
