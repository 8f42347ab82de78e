"""`hpcexp launch --dry-run`: everything that a launch would do, and nothing done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcexp.cli.options import make_console, print_json
from hpcexp.launch.launch import ExecutorName
from hpcexp.launch.local import choose_shape
from hpcexp.launch.plan import make_bundles, make_plan, split_into_arrays
from hpcexp.launch.slurm import write_sbatch_text
from hpcexp.store.experiment import Plan
from hpcexp.store.layout import TIMESTAMP, ExperimentDir
from hpcexp.store.submissions import make_submission
from hpcexp.template import Template
from hpcexp.workloads import load_config_class

MAX_GROUPS_SHOWN = 40


def print_dry_run(
    template: Template,
    *,
    experiments_dir: Path,
    only: Sequence[str],
    executor: ExecutorName,
    num_jobs: int | None,
    as_json: bool,
) -> None:
    """Print the plan, the place, the jobs and the sbatch script of a launch."""
    plan = make_plan(template, only=only)
    name = f"{datetime.now().strftime(TIMESTAMP)}_{plan.name}"
    experiment = ExperimentDir(experiments_dir / name)
    scripts = _write_scripts(experiment, plan, template) if executor == "slurm" else []
    if as_json:
        print_json(_to_json(experiment, plan, executor, scripts))
        return
    console = make_console()
    _print_groups(console, plan)
    _print_place(console, experiment, plan, template, executor, num_jobs)
    for script in scripts:
        console.print("\n[bold]sbatch script[/]")
        # Not through rich, which would fold long lines: this text must be exact.
        console.file.write(f"\n{script}\n")
    console.print("\nnothing was created")


def _write_scripts(experiment: ExperimentDir, plan: Plan, template: Template) -> list[str]:
    arrays = split_into_arrays(make_bundles([run.name for run in plan.runs]))
    return [
        write_sbatch_text(
            experiment,
            make_submission(experiment, number=i, executor="slurm", bundles=array),
            template.resources,
        )
        for i, array in enumerate(arrays, start=1)
    ]


def _to_json(
    experiment: ExperimentDir, plan: Plan, executor: str, scripts: Sequence[str]
) -> dict[str, Any]:
    return {
        "experiment": str(experiment.path),
        "workload": plan.workload,
        "executor": executor,
        "groups": [
            {"name": g.name, "values": g.values, "num_steps": count_steps(plan, g.name)}
            for g in plan.groups
        ],
        "runs": [run.name for run in plan.runs],
        "num_jobs": len(make_bundles([run.name for run in plan.runs])),
        "resources": plan.resources,
        "sbatch": list(scripts),
    }


def count_steps(plan: Plan, group: str) -> int:
    """Optimiser steps of one run of a group."""
    return load_config_class(plan.workload).model_validate(plan.configs[group]).num_steps


def _print_groups(console: Any, plan: Plan) -> None:
    from rich.table import Table

    question = f": {_escape(plan.question)}" if plan.question else ""
    console.print(f"[bold]{plan.name}[/]{question}")
    per_group = len(plan.runs) // len(plan.groups)
    console.print(
        f"{_count(len(plan.groups), 'group')} x {_count(per_group, 'initialisation')} = "
        f"{_count(len(plan.runs), 'run')} of {plan.workload}\n"
    )
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    axes = list(plan.grid)
    for header in ("group", *axes):
        table.add_column(header, overflow="fold")
    for header in ("runs", "epochs", "steps/run"):
        table.add_column(header, justify="right")
    for group in plan.groups[:MAX_GROUPS_SHOWN]:
        table.add_row(*_describe_group(plan, group.name, group.values, axes, per_group))
    console.print(table)
    if len(plan.groups) > MAX_GROUPS_SHOWN:
        console.print(f"... and {len(plan.groups) - MAX_GROUPS_SHOWN} groups more")
    _warn_of_unequal_steps(console, plan)


def _describe_group(
    plan: Plan, name: str, values: Mapping[str, Any], axes: Sequence[str], num_runs: int
) -> list[str]:
    config = load_config_class(plan.workload).model_validate(plan.configs[name])
    varying = [_escape(str(values[axis])) for axis in axes]
    numbers = [num_runs, config.num_epochs, config.num_steps]
    return [_escape(name), *varying, *(_group_digits(n) for n in numbers)]


def _warn_of_unequal_steps(console: Any, plan: Plan) -> None:
    steps = {count_steps(plan, group.name) for group in plan.groups}
    if len(steps) == 1 or {"max_epoch", "max_step"} & set(plan.grid):
        return
    console.print(
        f"\n[yellow]![/] the groups differ in their number of updates "
        f"({_group_digits(min(steps))} to {_group_digits(max(steps))}): "
        f"{' and '.join(plan.grid)} and training length vary together.\n"
        "  To compare at equal updates, set params.max_step."
    )


def _print_place(
    console: Any,
    experiment: ExperimentDir,
    plan: Plan,
    template: Template,
    executor: ExecutorName,
    num_jobs: int | None,
) -> None:
    resources = template.resources
    num = len(make_bundles([run.name for run in plan.runs]))
    console.print(f"\nwould make    {_escape(str(experiment.path))}/")
    needs = f"{_count(resources.cpus, 'CPU')}, {resources.mem_gb} GB"
    needs = (f"{_count(resources.gpus, 'GPU')}, " if resources.gpus else "") + needs
    if executor == "slurm":
        arrays = -(-num // 1000)
        where = f"partition {resources.partition}" if resources.partition else "default partition"
        console.print(
            f"would submit  {_count(num, 'job')} in {_count(arrays, 'array')}, {where}, "
            f"{needs}, {resources.timeout} each"
        )
    elif executor == "local":
        shape = choose_shape(resources, num_jobs=num_jobs)
        gpus = f", GPUs {', '.join(g for s in shape.gpus for g in s)}" if any(shape.gpus) else ""
        console.print(
            f"would train   {_count(num, 'job')} on this machine, {shape.num_jobs} at a time, "
            f"{_count(shape.num_threads, 'thread')} each{gpus}"
        )
    else:
        console.print(f"would train   {_count(num, 'run')} one after another in this process")


def _count(number: int, noun: str) -> str:
    return f"{_group_digits(number)} {noun}{'' if number == 1 else 's'}"


def _group_digits(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
