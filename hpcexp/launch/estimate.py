"""How long runs will take, from the pace of earlier runs of the same shape."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, read_plan, read_run_config
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus
from hpcexp.store.statuses import read_written
from hpcexp.workloads import load_config_class

MIN_TRAINED_S = 1.0  # of less, starting is a large part
MAX_GROUPS = 500
NUM_EXPERIMENTS = 5


@dataclass(frozen=True)
class Estimate:
    """The least and the most seconds of one run of each group, as far as earlier runs tell.

    `num_runs` earlier runs do, of the experiments `sources`, newest first. `num_hours` is what
    all runs of the groups that are known need together, least and most, in hours of a job; None
    where several runs share one.
    """

    seconds: Mapping[str, tuple[float, float]]
    num_runs: int
    sources: tuple[str, ...]
    num_hours: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "seconds_per_run": {name: list(span) for name, span in self.seconds.items()},
            "num_runs": self.num_runs,
            "sources": list(self.sources),
            "num_hours": list(self.num_hours) if self.num_hours else None,
        }


def estimate_times(plan: Plan, experiments_dir: Path) -> Estimate | None:
    """What the newest experiments of such jobs tell; None where they tell nothing.

    Of one shape are runs whose steps could be one program (`lane_key`): they differ in values
    such as the learning rate, the budget or the loss weights. Groups beyond the first 500 are
    not looked at, damaged experiments are passed over.
    """
    config_class = load_config_class(plan.workload)
    names = [group.name for group in plan.groups[:MAX_GROUPS]]
    experiments = list_experiments(experiments_dir)
    if not experiments:
        return None
    configs = {name: config_class.model_validate(plan.configs[name]) for name in names}
    wanted = {name: _find_shape(config) for name, config in configs.items()}
    paces: dict[str, list[float]] = defaultdict(list)
    sources: list[str] = []
    num_looked_at = 0
    for experiment in experiments:
        if num_looked_at == NUM_EXPERIMENTS or set(wanted.values()) <= paces.keys():
            break
        try:
            there = read_plan(experiment)
            if not _has_such_jobs(plan, there):
                continue
            num_looked_at += 1
            found = list(_measure_paces(experiment, there, set(wanted.values())))
        except (HpcexpError, OSError):
            continue
        sources += [experiment.name] if found else []
        for shape, pace in found:
            paces[shape].append(pace)
    seconds = {
        name: (min(known) * configs[name].num_steps, max(known) * configs[name].num_steps)
        for name in names
        if (known := paces.get(wanted[name])) and configs[name].num_steps
    }
    if not seconds:
        return None
    return Estimate(
        seconds, sum(map(len, paces.values())), tuple(sources), _sum_hours(plan, seconds)
    )


def _has_such_jobs(plan: Plan, there: Plan) -> bool:
    """Whether jobs of the other plan train the same, as many at a time, with a GPU or without."""
    if there.workload != plan.workload or there.is_imported:
        return False
    ours, theirs = plan.resources, there.resources
    same = ("packing", "runs_per_job") if ours.get("packing", "none") != "none" else ("packing",)
    return bool(ours.get("gpus")) == bool(theirs.get("gpus")) and all(
        ours.get(name) == theirs.get(name) for name in same
    )


def _measure_paces(
    experiment: ExperimentDir, plan: Plan, wanted: set[str]
) -> Iterator[tuple[str, float]]:
    """The shape and the seconds per step of every run that trained long enough to tell."""
    statuses = read_written(experiment, [run.name for run in plan.runs])
    shapes: dict[str, str] = {}
    for run in plan.runs:
        status = statuses[run.name]
        if not _tells(status) or (run.group not in shapes and len(shapes) == MAX_GROUPS):
            continue
        if run.group not in shapes:
            shapes[run.group] = _read_shape(experiment, run.name, plan.workload)
        if shapes[run.group] in wanted:
            yield shapes[run.group], status.trained_s / status.step


def _tells(status: RunStatus) -> bool:
    return status.step > 0 and status.trained_s >= MIN_TRAINED_S


def _read_shape(experiment: ExperimentDir, name: str, workload: str) -> str:
    """Empty where this version cannot read the configuration."""
    try:
        params = read_run_config(experiment.run(name)).params
        return _find_shape(load_config_class(workload).model_validate(params))
    except (HpcexpError, ValidationError):
        return ""


def _find_shape(config: Any) -> str:
    """Equal for configurations of a workload whose steps take equally long."""
    if not config.lane_obstacle or not hasattr(config, "lane_free"):
        return str(config.lane_key)
    kept = config.model_dump(mode="json", exclude=config.lane_free)
    return json.dumps(kept, sort_keys=True)


def _sum_hours(
    plan: Plan, seconds: Mapping[str, tuple[float, float]]
) -> tuple[float, float] | None:
    if plan.resources.get("packing", "none") != "none":
        return None
    spans = [seconds[run.group] for run in plan.runs if run.group in seconds]
    return sum(s[0] for s in spans) / 3600, sum(s[1] for s in spans) / 3600
