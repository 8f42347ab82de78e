"""What shows why a run ended as it did, and what to type next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcexp.launch.observe import Observation
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import CUT_SHORT, RunStatus, State
from hpcexp.store.submissions import index_jobs

TAIL_BYTES = 16_000
MAX_LINES = 2
_TIMESTAMP_LENGTH = len("2022-12-14 14:58:06,123 ")


def suggest_command(observation: Observation, name: str) -> str:
    """The next command for a run that needs somebody; empty for any other, or one of elsewhere."""
    if observation.plan.is_imported:
        return ""
    status = observation.statuses[name]
    which = shlex.join([observation.experiment.name, name])
    if status.state == State.OUT_OF_MEMORY:
        mem_gb = 2 * int(_find_resources(observation, name).get("mem_gb", 4))
        return f"hpcexp retry {which} --mem-gb {mem_gb}"
    if status.state == State.FAILED:
        return f"hpcexp logs {which}; then hpcexp retry {which}"
    if status.state in CUT_SHORT | {State.CANCELLED}:
        return f"hpcexp resume {which}"
    if status.state == State.DIVERGED:
        return f"hpcexp {'replay' if 'replay' in status.hint else 'logs'} {which}"
    return ""


def _find_resources(observation: Observation, name: str) -> Mapping[str, Any]:
    """What its newest job asked for."""
    place = index_jobs(observation.submissions).get(name)
    if place is not None and place[0].resources is not None:
        return place[0].resources
    return observation.plan.resources


def find_evidence(observation: Observation, name: str) -> list[str]:
    """The last lines of the run's log that say something, or of its job's if it has none."""
    status = observation.statuses[name]
    for path in _list_logs(observation.experiment, observation, name, status):
        lines = [line for line in _read_tail(path) if line.strip()]
        if lines:
            return [_strip_time(line) for line in _choose(lines)]
    return []


def _list_logs(
    experiment: ExperimentDir, observation: Observation, name: str, status: RunStatus
) -> list[Path]:
    place = index_jobs(observation.submissions).get(name)
    job = [] if place is None else [experiment.job_log_path(place[0].id, place[1])]
    own = [experiment.run(name).log_path(status.attempt)] if status.attempt else []
    # A process that was killed says nothing in its own log: Slurm does, in the job's.
    return [*job, *own] if status.state in CUT_SHORT | {State.OUT_OF_MEMORY} else [*own, *job]


def _read_tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _choose(lines: list[str]) -> list[str]:
    """What Slurm or Python said of the end, if they did, else the last lines."""
    telling = [
        line
        for line in lines
        if line.startswith(("slurmstepd:", "srun: error:")) or "Error: " in line
    ]
    return (telling or lines)[-MAX_LINES:]


def _strip_time(line: str) -> str:
    has_time = line[:4].isdigit() and line[4:5] == "-" and line[19:20] == ","
    return line[_TIMESTAMP_LENGTH:] if has_time else line
