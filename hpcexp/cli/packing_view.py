"""What a dry run says of `packing: auto`."""

from __future__ import annotations

from collections.abc import Sequence

from hpcexp.store.experiment import Plan
from hpcexp.template import Resources
from hpcexp.workloads import load_config_class

PROBE = "a probe of at most 30 s on the node measures and chooses"


def describe_auto(plan: Plan, bundles: Sequence[Sequence[str]], resources: Resources) -> list[str]:
    """Lines about the largest job: what its first group would need. Imports torch for that."""
    largest = max(bundles, key=len, default=[])
    num_runs = min(len(largest), resources.runs_per_job)
    if num_runs < 2:
        return ["packing       auto: no job has two runs, so there is nothing to choose"]
    group = next(run.group for run in plan.runs if run.name == largest[0])
    config = load_config_class(plan.workload).model_validate(plan.configs[group])
    if config.lane_obstacle:
        return [f"packing       auto: in processes ({config.lane_obstacle}); {PROBE} how many"]
    from hpcexp.worker.auto.foresee import foresee_memory

    try:
        foreseen = foresee_memory(
            plan.workload,
            plan.configs[group],
            num_runs=num_runs,
            mem_gb=resources.mem_gb,
            gpus=resources.gpus,
        )
    except Exception as error:  # whatever a model does: the launch does not depend on it
        why = str(error).partition("\n")[0]
        return [f"packing       auto: {PROBE}; its memory cannot be foreseen ({why})"]
    line = foreseen.line
    lines = [
        f"packing       auto: {num_runs} lanes of {group} would need about "
        f"{_show(line.predict(num_runs))} ({_show(line.base_bytes)}, and {_show(line.lane_bytes)} "
        f"for each lane), by their shapes"
    ]
    if foreseen.num_fitting is not None and foreseen.num_fitting < num_runs:
        lines.append(
            f"              mem_gb {resources.mem_gb} has room for {foreseen.num_fitting or 'none'}"
        )
    return [*lines, f"              {PROBE}"]


def _show(num_bytes: float) -> str:
    """Such as `1.3 GB`."""
    if num_bytes >= 1e9:
        return f"{num_bytes / 1e9:.1f} GB"
    return f"{num_bytes / 1e6:.3g} MB"
