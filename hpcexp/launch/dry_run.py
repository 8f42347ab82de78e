"""Everything that a launch would do, and nothing done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcexp.launch.estimate import estimate_times
from hpcexp.launch.executor import DetachedExecutor
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.existing import Existing
from hpcexp.launch.plan import bundle_runs, find_planned_keys
from hpcexp.store.experiment import Plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.snapshot import SnapshotPlan
from hpcexp.store.submissions import make_submission
from hpcexp.template import Template
from hpcexp.workloads import load_config_class


def make_planned_bundles(plan: Plan, template: Template, executor: str) -> list[list[str]]:
    """As launch would, on a cluster without limits of its own."""
    names, resources = [run.name for run in plan.runs], template.resources
    is_detached = isinstance(EXECUTORS[executor], DetachedExecutor)
    num_jobs = resources.max_jobs if is_detached else None
    return bundle_runs(names, resources, key_of=find_planned_keys(plan), num_jobs=num_jobs)


def write_planned_script(
    experiment: ExperimentDir, plan: Plan, template: Template, executor: str
) -> str | None:
    """The sbatch script; None where there would be none."""
    bundles = make_planned_bundles(plan, template, executor)
    submission = make_submission(experiment, number=1, executor=executor, bundles=bundles)
    return EXECUTORS[executor].write_script(experiment, submission, template.resources)


def launch_to_json(
    experiment: ExperimentDir,
    plan: Plan,
    template: Template,
    executor: str,
    script: str | None,
    code: SnapshotPlan,
    existing: Existing | None,
    caveats: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """What `hpcexp launch --dry-run --json` prints; `caveats` are of the design."""
    estimate = estimate_times(plan, experiment.path.parent)
    return {
        "experiment": str(experiment.path),
        "workload": plan.workload,
        "executor": executor,
        "groups": [
            {"name": g.name, "values": g.values, "num_steps": count_steps(plan, g.name)}
            for g in plan.groups
        ],
        "runs": [run.name for run in plan.runs],
        "num_jobs": len(make_planned_bundles(plan, template, executor)),
        "resources": plan.resources,
        "estimate": estimate.to_json() if estimate else None,
        "caveats": list(caveats),
        "code": {
            "tree": str(code.tree.top_dir) if code.tree else None,
            "num_files": len(code.sources),
            "num_bytes": code.num_bytes,
            "num_changes": code.tree.num_changes if code.tree else 0,
            "problem": code.problem,
        },
        "sbatch": script,
        "existing": existing.to_json() if existing else None,
    }


def count_steps(plan: Plan, group: str) -> int:
    """Optimiser steps of one run of a group."""
    return load_config_class(plan.workload).model_validate(plan.configs[group]).num_steps
