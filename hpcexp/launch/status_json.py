"""How far an experiment is, for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from hpcexp.launch.observe import Observation
from hpcexp.launch.progress import (
    estimate_seconds_left,
    measure_progress,
    sum_cpu_hours,
    sum_gpu_hours,
)
from hpcexp.launch.standings import deciding_to_json, is_look_job_live, list_look_runs
from hpcexp.launch.suggest import suggest_command
from hpcexp.store.deciding import read_deciding
from hpcexp.store.status import State
from hpcexp.store.usage import read_usages
from hpcexp.worker.usage.describe import sum_usages, usage_to_json


def observation_to_json(observation: Observation, *, with_runs: bool) -> dict[str, Any]:
    """Counts by state, progress and use, and every run's status if wanted."""
    counts = {str(state): observation.count(state) for state in State if observation.count(state)}
    result: dict[str, Any] = {
        "experiment": str(observation.experiment.place),
        "site": observation.site or None,
        "copied_from": observation.copied_from and dataclasses.asdict(observation.copied_from),
        "num_runs": len(observation.plan.runs),
        "states": counts,
        "progress": measure_progress(list(observation.statuses.values())),
        "seconds_left": estimate_seconds_left(observation),
        "gpu_hours": sum_gpu_hours(observation),
        "cpu_hours": sum_cpu_hours(observation),
        "is_queue_known": observation.is_queue_known,
    }
    if (deciding := read_deciding(observation.experiment)) is not None:
        names = [] if deciding.is_over else list_look_runs(observation.plan, deciding)
        waiting = {n: observation.statuses[n] for n in names}
        unfinished = {n: status for n, status in waiting.items() if not status.is_finished}
        is_live = is_look_job_live(deciding) if observation.copied_from is None else None
        result["deciding"] = deciding_to_json(deciding, unfinished, is_job_live=is_live)
    if observation.plan.sample:
        from hpcexp.launch.search_standing import find_search_standing

        if (standing := find_search_standing(observation)) is not None:
            result["search"] = {**dataclasses.asdict(standing), "is_over": standing.is_over}
    if with_runs:
        usage = sum_usages(read_usages(observation.experiment))
        result["usage"] = None if usage is None else usage_to_json(usage)
        groups = {run.name: run.group for run in observation.plan.runs}
        result["runs"] = [
            {
                "run": name,
                "group": groups[name],
                **dataclasses.asdict(status),
                "next_command": suggest_command(observation, name),
            }
            for name, status in observation.statuses.items()
        ]
    return result
