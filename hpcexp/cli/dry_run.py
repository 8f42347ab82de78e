"""`hpcexp launch --dry-run`: everything that a launch would do, and nothing done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcexp.analysis.design import foresee
from hpcexp.cli.options import make_console, print_json
from hpcexp.cli.packing_view import describe_auto
from hpcexp.cli.progress import format_duration
from hpcexp.grid import GROUP
from hpcexp.launch.code import describe_plan, plan_code
from hpcexp.launch.dry_run import (
    launch_to_json,
    make_planned_bundles,
    write_planned_script,
)
from hpcexp.launch.estimate import Estimate, estimate_times
from hpcexp.launch.executor import LaunchOptions, spell_count
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.existing import find_existing
from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import Plan
from hpcexp.store.layout import TIMESTAMP, ExperimentDir
from hpcexp.template import Template
from hpcexp.workloads import load_config_class

MAX_GROUPS_SHOWN = 40


def print_dry_run(
    template: Template,
    *,
    experiments_dir: Path,
    only: Sequence[str],
    executor: str,
    num_jobs: int | None,
    as_json: bool,
) -> None:
    """Print the plan, the place, the jobs and the sbatch script of a launch."""
    plan = make_plan(template, only=only, experiments_dir=experiments_dir)
    name = f"{datetime.now().strftime(TIMESTAMP)}_{plan.name}"
    experiment = ExperimentDir(experiments_dir / name)
    script = write_planned_script(experiment, plan, template, executor)
    code = plan_code(experiments_dir)
    existing = find_existing(plan, experiments_dir)
    if as_json:
        caveats = [caveat.to_json() for caveat in foresee(plan)]
        print_json(
            launch_to_json(experiment, plan, template, executor, script, code, existing, caveats)
        )
        return
    console = make_console()
    estimate = estimate_times(plan, experiments_dir)
    _print_groups(console, plan, derived=list(template.derive), estimate=estimate)
    if estimate is not None:
        console.print(f"\n{describe_estimate(estimate, plan)}", markup=False)
    console.print(f"\nwould make    {_escape(str(experiment.path))}/")
    console.print(f"with code     {describe_plan(code)}", markup=False)
    for caveat in foresee(plan):
        console.print(f"[yellow]![/] {_escape(caveat.message)}")
    if existing is not None:
        console.print(f"[yellow]![/] {_escape(existing.describe())}")
    if code.problem:
        console.print(f"[yellow]![/] {_escape(code.problem)}")
    options = LaunchOptions(num_jobs=num_jobs)
    described = EXECUTORS[executor].describe(
        make_planned_bundles(plan, template, executor), template.resources, options
    )
    console.print(described, markup=False)
    if template.resources.packing == "auto":
        bundles = make_planned_bundles(plan, template, executor)
        for line in describe_auto(plan, bundles, template.resources):
            console.print(line, markup=False)
    if script is not None:
        console.print("\n[bold]sbatch script[/]")
        # Not through rich, which would fold long lines: this text must be exact.
        console.file.write(f"\n{script}\n")
    console.print("nothing was created" if script else "\nnothing was created")


def describe_estimate(estimate: Estimate, plan: Plan) -> str:
    """What all runs will take, and how that is known."""
    more = len(estimate.sources) - 1
    others = f" and {spell_count(more, 'other')}" if more else ""
    runs = spell_count(estimate.num_runs, "run")
    known = f"as {runs} of such shapes in {estimate.sources[0]}{others} went"
    if estimate.num_hours is None:
        return f"est. time     {known}"
    gpus = plan.resources.get("gpus") or 0
    unit = "hours of a job" if not gpus else "GPU-hours"
    low, high = (f"{hours * max(gpus, 1):.2g}" for hours in estimate.num_hours)
    span = low if low == high else f"{low} to {high}"
    left = len(plan.groups) - len(estimate.seconds)
    rest = f"; {spell_count(left, 'group')} more of which nothing is known" if left else ""
    return f"est. time     {span} {unit} in all, {known}{rest}"


def _spell_span(span: tuple[float, float] | None) -> str:
    if span is None:
        return "?"
    low, high = map(format_duration, span)
    return low if low == high else f"{low} to {high}"


def _print_groups(
    console: Any, plan: Plan, *, derived: Sequence[str], estimate: Estimate | None
) -> None:
    from rich.table import Table

    question = f": {_escape(plan.question)}" if plan.question else ""
    console.print(f"[bold]{plan.name}[/]{question}")
    per_group = len(plan.runs) // len(plan.groups)
    console.print(
        f"{spell_count(len(plan.groups), 'group')} x {spell_count(per_group, 'initialisation')} = "
        f"{spell_count(len(plan.runs), 'run')} of {plan.workload}\n"
    )
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    axes = list_axes(plan)
    # A named group's name says all there is to its factor where it is the only one.
    columns = [*(axes if axes != [GROUP] else []), *_find_varying(plan, derived)]
    for header in ("group", *columns):
        table.add_column(header, overflow="fold")
    timed = ["est. time/run"] if estimate is not None else []
    for header in ("runs", "epochs", "steps/run", *timed):
        table.add_column(header, justify="right")
    for group in plan.groups[:MAX_GROUPS_SHOWN]:
        values = {**_dig_all(plan.configs[group.name], columns), **group.values}
        times = [_spell_span(estimate.seconds.get(group.name))] if estimate is not None else []
        table.add_row(*_describe_group(plan, group.name, values, columns, per_group), *times)
    console.print(table)
    if len(plan.groups) > MAX_GROUPS_SHOWN:
        console.print(f"... and {len(plan.groups) - MAX_GROUPS_SHOWN} groups more")


def _describe_group(
    plan: Plan, name: str, values: Mapping[str, Any], axes: Sequence[str], num_runs: int
) -> list[str]:
    config = load_config_class(plan.workload).model_validate(plan.configs[name])
    varying = [_escape(str(values[axis])) for axis in axes]
    numbers = [num_runs, config.num_epochs, config.num_steps]
    # 0 where a training of the user's own does not say how long it is.
    return [_escape(name), *varying, *(_group_digits(n) if n else "?" for n in numbers)]


def list_axes(plan: Plan) -> list[str]:
    """The names whose values tell the groups apart, in the template's order."""
    return list(dict.fromkeys(name for group in plan.groups for name in group.values))


def _find_varying(plan: Plan, names: Sequence[str]) -> list[str]:
    """Of the derived names those that differ between groups."""
    configs = [plan.configs[group.name] for group in plan.groups]
    shown = {name: {str(_dig_all(c, [name])[name]) for c in configs} for name in names}
    return [name for name, values in shown.items() if len(values) > 1]


def _dig_all(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    found = {}
    for name in names:
        value: Any = config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[name] = value
    return found


def _group_digits(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
