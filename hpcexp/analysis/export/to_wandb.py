"""Weights & Biases, offline: nothing leaves this machine until `wandb sync` is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcexp.analysis.export.packages import import_package
from hpcexp.analysis.export.runs import ExportedRun, iter_points, iter_runs, make_tag
from hpcexp.analysis.frames import Results


def write_wandb(results: Results, directory: Path) -> None:
    """An offline run for each run, in a project of the experiment's name, grouped by group.

    Raises UsageError where the package wandb is not installed.
    """
    wandb = import_package("wandb", extra="wandb")
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
        settings=wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
        ),
    )
    # Steps must grow: both splits of a step are one entry.
    logged.define_metric("*", step_metric="step")
    points = sorted(iter_points(run.table), key=lambda point: (point.step, point.split))
    for point in points:
        values = {f"{point.split}/{make_tag(name)}": v for name, v in point.values.items()}
        logged.log({**values, "step": point.step, "epoch": point.epoch, "time": point.time})
    for name, value in run.final.items():
        logged.summary[f"final/{name}"] = value
    logged.finish(exit_code=0)
