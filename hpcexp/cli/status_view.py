"""Observations as tables for people and as JSON for scripts."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpcexp.cli.progress import format_duration
from hpcexp.launch.observe import Observation
from hpcexp.store.status import FINISHED, RunStatus, State

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

TROUBLED = (State.FAILED, State.LOST, State.DIVERGED)
WAITING = (State.PENDING, State.SUBMITTED, State.INTERRUPTED)
MAX_TROUBLED_SHOWN = 10
COUNTS = ("runs", "done", "running", "waiting", "failed")


def observation_to_json(observation: Observation, *, with_runs: bool) -> dict[str, Any]:
    """Counts by state, and every run's status if wanted."""
    counts = {str(state): observation.count(state) for state in State if observation.count(state)}
    result: dict[str, Any] = {
        "experiment": str(observation.experiment.path),
        "num_runs": len(observation.plan.runs),
        "states": counts,
        "is_queue_known": observation.is_queue_known,
    }
    if with_runs:
        groups = {run.name: run.group for run in observation.plan.runs}
        result["runs"] = [
            {"run": name, "group": groups[name], **dataclasses.asdict(status)}
            for name, status in observation.statuses.items()
        ]
    return result


def render_overview(
    observations: Sequence[Observation], *, problems: Mapping[str, str], num_hidden: int
) -> RenderableType:
    """A line for each experiment, then what needs somebody."""
    from rich.console import Group
    from rich.markup import escape

    table = _make_table("experiment", numbers=(*COUNTS, "ETA"))
    for observation in observations:
        table.add_row(
            observation.experiment.name, *_count_states(observation), _estimate(observation)
        )
    lines: list[RenderableType] = [table]
    for observation in observations:
        failed = observation.count(State.FAILED, State.LOST)
        if failed:
            runs = "1 run" if failed == 1 else f"{failed} runs"
            lines.append(f"! {runs} failed: hpcexp status {observation.experiment.name}")
    lines += [f"! {escape(name)} cannot be read: {escape(p)}" for name, p in problems.items()]
    if not all(observation.is_queue_known for observation in observations):
        lines.append("! squeue did not answer: runs that seem idle may be waiting or training")
    if num_hidden:
        lines.append(f"... and {num_hidden} older experiments")
    return Group(*lines)


def render_experiment(observation: Observation) -> RenderableType:
    """Groups, then what went wrong with what to do about it."""
    from rich.console import Group

    parts: list[RenderableType] = [_render_groups(observation)]
    if not observation.is_queue_known:
        parts.append("! squeue did not answer: runs that seem idle may be waiting or training")
    parts += _render_troubled(observation)
    resumable = observation.count(State.INTERRUPTED, State.LOST, State.FAILED, State.PENDING)
    if resumable and not observation.count(State.RUNNING, State.SUBMITTED):
        runs = "1 run is" if resumable == 1 else f"{resumable} runs are"
        parts.append(f"\n{runs} unfinished: hpcexp resume {observation.experiment.name}")
    return Group(*parts)


def _render_groups(observation: Observation) -> Table:
    metric = observation.plan.primary_metric["name"]
    title = f"{metric.replace('_', ' ')} (median so far)"
    table = _make_table("group", numbers=(*COUNTS, "epoch", title))
    for group in observation.plan.groups:
        names = [run.name for run in observation.plan.runs if run.group == group.name]
        part = dataclasses.replace(
            observation, statuses={name: observation.statuses[name] for name in names}
        )
        statuses = list(part.statuses.values())
        table.add_row(
            group.name,
            *_count_states(part),
            _describe_epochs(statuses),
            _median(statuses, metric),
        )
    return table


def _count_states(observation: Observation) -> list[str]:
    counts = (
        len(observation.statuses),
        observation.count(*FINISHED),
        observation.count(State.RUNNING),
        observation.count(*WAITING),
        observation.count(State.FAILED, State.LOST),
    )
    return [str(count) if count else "-" for count in counts]


def _describe_epochs(statuses: Sequence[RunStatus]) -> str:
    begun = [s for s in statuses if s.num_epochs]
    if not begun:
        return "-"
    epochs = sorted({s.epoch for s in begun})
    low, high = epochs[0], epochs[-1]
    span = f"{low}" if low == high else f"{low}-{high}"
    return f"{span}/{begun[0].num_epochs}"


def _median(statuses: Sequence[RunStatus], metric: str) -> str:
    values = [v for s in statuses if (v := s.metrics.get(metric)) is not None]
    return f"{statistics.median(values):.3f}" if values else "-"


def _estimate(observation: Observation) -> str:
    """Time until the last running run ends, if all go on as fast as they did."""
    if not observation.count(State.RUNNING, *WAITING):
        return "done"
    left = [
        (s.num_steps - s.step) * s.trained_s / s.step
        for s in observation.statuses.values()
        if s.state == State.RUNNING and s.step
    ]
    if not left or observation.count(*WAITING):
        return "-"
    return format_duration(max(left))


def _render_troubled(observation: Observation) -> list[RenderableType]:
    from rich.markup import escape

    names = observation.names_in(*TROUBLED)
    lines: list[RenderableType] = []
    for name in names[:MAX_TROUBLED_SHOWN]:
        status = observation.statuses[name]
        lines.append(f"\n[bold]{escape(name)}[/]  {status.state}: {escape(status.reason)}")
        log = f"hpcexp logs {observation.experiment.name} {name}"
        lines.append(f"    {escape(status.hint or log)}")
    if len(names) > MAX_TROUBLED_SHOWN:
        lines.append(f"\n... and {len(names) - MAX_TROUBLED_SHOWN} more: --json lists them all")
    return lines


def _make_table(first: str, *, numbers: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first, overflow="fold")
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    return table
