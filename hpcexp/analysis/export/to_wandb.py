"""Weights & Biases, offline: nothing leaves this machine until `wandb sync` is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcexp.analysis.export.runs import ExportedRun, iter_runs
from hpcexp.analysis.frames import Results
from hpcexp.worker.tracking.packages import import_package
from hpcexp.worker.tracking.rows import iter_points, merge_splits
from hpcexp.worker.tracking.to_wandb import make_settings


def write_wandb(results: Results, directory: Path) -> None:
    """An offline run for each run, in a project of the experiment's name, grouped by group.

    Raises UsageError where the package wandb is not installed.
    """
    wandb = import_package("wandb", extra="wandb", wanted="--to wandb")
    for run in iter_runs(results):
        _write_run(wandb, run, project=results.plan.name, experiment=results.experiment.name,
                   directory=directory)  # fmt: skip


def _write_run(
    wandb: Any, run: ExportedRun, *, project: str, experiment: str, directory: Path
) -> None:
    logged = wandb.init(
        project=project,
        name=run.name,
        group=run.group,
        config={**run.params, "experiment": experiment, "rand_init": run.rand_init},
        tags=[run.state],
        dir=str(directory),
        mode="offline",
        reinit="finish_previous",
        settings=make_settings(wandb),
    )
    logged.define_metric("*", step_metric="step")
    # Steps must grow: both splits of a step are one entry.
    for step, values in merge_splits(list(iter_points(run.table))):
        logged.log(values, step=step)
    for name, value in run.final.items():
        logged.summary[f"final/{name}"] = value
    logged.finish(exit_code=0)
