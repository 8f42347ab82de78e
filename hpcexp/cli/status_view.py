"""Observations as tables for people and as JSON for scripts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpcexp.cli.deciding_view import describe_deciding
from hpcexp.cli.progress import format_duration
from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import Observation
from hpcexp.launch.progress import (
    NEEDS_SOMEBODY,
    count_runs,
    estimate_seconds_left,
    find_slowest,
    measure_progress,
    sum_cpu_hours,
    sum_gpu_hours,
)
from hpcexp.launch.standings import is_look_job_live, list_look_runs
from hpcexp.launch.suggest import find_evidence, suggest_command
from hpcexp.launch.tracking import describe_tracking
from hpcexp.store.deciding import read_deciding
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.packing import PackingRecord, read_packings
from hpcexp.store.status import RunStatus, State
from hpcexp.store.submissions import Stage
from hpcexp.store.usage import read_usages
from hpcexp.worker.usage.describe import describe_usage, sum_usages

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hpcexp.store.copies import CopyRecord

TROUBLED = (*sorted(NEEDS_SOMEBODY), State.DIVERGED)
MAX_TROUBLED_SHOWN = 10
COUNTS = ("runs", "done", "running", "waiting", "failed")


def render_overview(
    observations: Sequence[Observation], *, problems: Mapping[str, str], num_hidden: int
) -> RenderableType:
    """A line for each experiment, then what needs somebody."""
    from rich.console import Group
    from rich.markup import escape

    with_sites = len({observation.site for observation in observations}) > 1
    columns = ("experiment", "site") if with_sites else ("experiment",)
    table = _make_table(*columns, numbers=(*COUNTS, "progress", "ETA", "used"))
    for observation in observations:
        statuses = list(observation.statuses.values())
        table.add_row(
            observation.experiment.name,
            *([observation.site or "-"] if with_sites else []),
            *_show_counts(statuses),
            f"{100 * measure_progress(statuses):.0f} %",
            _show_eta(observation),
            _show_use(observation),
        )
    lines: list[RenderableType] = [table]
    lines += [
        f"copy: {escape(o.experiment.name)}, as on {o.copied_from.label} at "
        f"{escape(describe_moment(o.copied_from.copied))}: hpcexp pull {escape(o.experiment.name)}"
        for o in observations
        if o.copied_from is not None and count_runs(list(o.statuses.values())).running
    ]
    for observation in observations:
        if failed := observation.count(*NEEDS_SOMEBODY):
            lines.append(f"! {_count(failed)} failed: hpcexp status {observation.experiment.name}")
    lines += [f"! {escape(name)} cannot be read: {escape(p)}" for name, p in problems.items()]
    if not all(observation.is_queue_known for observation in observations):
        lines.append(_QUEUE_UNKNOWN)
    if num_hidden:
        lines.append(f"... and {num_hidden} older experiments: hpcexp status --all")
    return Group(*lines)


_QUEUE_UNKNOWN = "! squeue did not answer: runs that seem idle may be waiting or training"


def render_experiment(observation: Observation) -> RenderableType:
    """Groups, then how long it will take, then what went wrong and what to do about it."""
    from rich.console import Group
    from rich.markup import escape

    parts: list[RenderableType] = [_render_groups(observation), ""]
    if observation.copied_from is not None:
        parts.append(escape(_describe_copy(observation.copied_from, observation.experiment.name)))
    parts += [escape(line) for line in _describe_progress(observation)]
    if not observation.is_queue_known:
        parts.append(_QUEUE_UNKNOWN)
    parts += _render_troubled(observation)
    if observation.plan.is_imported or observation.copied_from is not None:
        return Group(*parts)  # nothing can be trained here
    counts = count_runs(list(observation.statuses.values()))
    unfinished = counts.failed + observation.count(State.PENDING) - len(observation.names_held())
    if unfinished > 0 and not counts.running and not observation.count(State.SUBMITTED):
        parts.append(
            f"\n{_count(unfinished)} unfinished: hpcexp resume {observation.experiment.name}"
        )
    if counts.cancelled:
        parts.append(
            f"\n{_count(counts.cancelled)} cancelled: "
            f"hpcexp resume {observation.experiment.name} --state cancelled"
        )
    return Group(*parts)


def describe_moment(text: str) -> str:
    """A time as records keep it, for people, such as `2022-12-14 14:58`."""
    return text[:16].replace("T", " ")


def _describe_copy(record: CopyRecord, name: str) -> str:
    kept = "" if record.has_checkpoints else ", without checkpoints"
    return (
        f"a copy of {record.place}{kept}, as it was at {describe_moment(record.copied)}: "
        f"hpcexp pull {name} brings it up to date"
    )


def _render_groups(observation: Observation) -> Table:
    metric = observation.plan.primary_metric["name"]
    title = f"{metric.replace('_', ' ')} (median so far)"
    table = _make_table("group", numbers=(*COUNTS, "epoch", title))
    members: dict[str, list[RunStatus]] = {group.name: [] for group in observation.plan.groups}
    for run in observation.plan.runs:
        members[run.group].append(observation.statuses[run.name])
    for name, statuses in members.items():
        table.add_row(
            name, *_show_counts(statuses), _describe_epochs(statuses), _median(statuses, metric)
        )
    return table


def _describe_progress(observation: Observation) -> list[str]:
    statuses = list(observation.statuses.values())
    parts = [f"{100 * measure_progress(statuses):.0f} %", _show_use(observation)]
    seconds = estimate_seconds_left(observation)
    if seconds is not None:
        parts.insert(1, f"{format_duration(seconds)} left")
    lines = [", ".join(part for part in parts if part != "-")]
    if slowest := find_slowest(observation):
        lines.append(f"slowest: {slowest[0]}, {format_duration(slowest[1])} left")
    waiting = [s.reason for s in statuses if s.state == State.SUBMITTED and s.reason]
    if waiting and not observation.count(State.RUNNING):
        lines.append(f"waiting: {statistics.mode(waiting)}")
    continued = [s.continued_from["epoch"] for s in statuses if s.continued_from]
    if continued:
        first, last = min(continued), max(continued)
        span = f"{first}" if first == last else f"{first}-{last}"
        lines.append(f"continued: {_count(len(continued))} beyond epoch {span}")
    lines += _describe_recoveries(statuses)
    if observation.plan.resources.get("packing") == "auto":
        lines += describe_packings(observation.experiment)
    if held := len(observation.names_held()):
        reasons = (s.problem for s in observation.submissions if s.stage == Stage.HELD)
        why = next((f" ({reason})" for reason in reasons if reason), "")
        lines.append(f"held:    {_count(held)} until there is room for more jobs{why}")
    if (usage := sum_usages(read_usages(observation.experiment))) is not None:
        lines += describe_usage(usage, observation.plan.resources)
    lines += describe_tracking(observation.experiment, list(observation.statuses))
    return [*lines, *_describe_search(observation), *_describe_looks(observation)]


def _describe_search(observation: Observation) -> list[str]:
    if not observation.plan.sample:
        return []
    from hpcexp.cli.search_view import describe_standing
    from hpcexp.launch.search_standing import find_search_standing

    standing = find_search_standing(observation)
    return list(describe_standing(observation.experiment.name, standing)) if standing else []


def _describe_looks(observation: Observation) -> list[str]:
    deciding = read_deciding(observation.experiment)
    if deciding is None:
        return []
    names = list_look_runs(observation.plan, deciding)
    statuses = {name: observation.statuses[name] for name in names}
    is_live = is_look_job_live(deciding) if observation.copied_from is None else None
    return list(describe_deciding(observation.experiment, deciding, statuses, is_job_live=is_live))


def describe_packings(experiment: ExperimentDir) -> list[str]:
    """What jobs chose that were to pack their runs as they find best, a line for each choice."""
    try:
        records = read_packings(experiment)
    except HpcexpError as error:
        return [f"packing: unknown ({error})"]
    by_choice: dict[tuple[int, int], list[PackingRecord]] = {}
    for record in records:
        by_choice.setdefault((record.num_lanes, record.num_processes), []).append(record)
    return [
        f"packing: {alike[0].why}" + (f" (so in {len(alike)} jobs)" if len(alike) > 1 else "")
        for alike in by_choice.values()
    ]


def _describe_recoveries(statuses: Sequence[RunStatus]) -> list[str]:
    """What was done about divergences that ended no run (`on_divergence`)."""
    lines = []
    if skipped := [s.skipped_steps for s in statuses if s.skipped_steps]:
        lines.append(f"skipped steps: {sum(skipped)}, in {_count(len(skipped))}")
    if rollbacks := [s.rollbacks for s in statuses if s.rollbacks]:
        lines.append(f"rollbacks: {sum(rollbacks)}, in {_count(len(rollbacks))}")
    return lines


def _show_counts(statuses: Sequence[RunStatus]) -> list[str]:
    counts = count_runs(statuses)
    shown = (counts.num_runs, counts.done, counts.running, counts.waiting, counts.failed)
    return [str(count) if count else "-" for count in shown]


def _describe_epochs(statuses: Sequence[RunStatus]) -> str:
    begun = [s for s in statuses if s.num_epochs or s.epoch]
    if not begun:
        return "-"
    epochs = sorted({s.epoch for s in begun})
    low, high = epochs[0], epochs[-1]
    span = f"{low}" if low == high else f"{low}-{high}"
    planned = begun[0].num_epochs  # 0 where a training of the user's own did not say
    return f"{span}/{planned}" if planned else span


def _median(statuses: Sequence[RunStatus], metric: str) -> str:
    values = [v for s in statuses if (v := s.metrics.get(metric)) is not None]
    return f"{statistics.median(values):.3f}" if values else "-"


def _show_eta(observation: Observation) -> str:
    counts = count_runs(list(observation.statuses.values()))
    if not counts.running and not counts.waiting:
        return "-" if counts.failed else "done"
    seconds = estimate_seconds_left(observation)
    return "-" if seconds is None else format_duration(seconds)


def _show_use(observation: Observation) -> str:
    gpu_hours, cpu_hours = sum_gpu_hours(observation), sum_cpu_hours(observation)
    if gpu_hours:
        return f"{gpu_hours:.1f} GPU-h"
    return f"{cpu_hours:.1f} CPU-h" if cpu_hours >= 0.05 else "-"


def _render_troubled(observation: Observation) -> list[RenderableType]:
    from rich.markup import escape

    names = observation.names_in(*TROUBLED)
    lines: list[RenderableType] = []
    for name in names[:MAX_TROUBLED_SHOWN]:
        status = observation.statuses[name]
        lines.append(f"\n[bold]{escape(name)}[/]  {status.state.words}: {escape(status.reason)}")
        if status.state != State.DIVERGED:
            lines += [f"    [dim]{escape(line)}[/]" for line in find_evidence(observation, name)]
        if status.hint and "hpcexp" not in status.hint:
            lines.append(f"    {escape(status.hint)}")
        there = f"on {observation.copied_from.label}: " if observation.copied_from else ""
        lines.append(f"    -> {escape(there + suggest_command(observation, name))}")
    if len(names) > MAX_TROUBLED_SHOWN:
        lines.append(f"\n... and {len(names) - MAX_TROUBLED_SHOWN} more: --json lists them all")
    return lines


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _make_table(*first: str, numbers: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    for header in first:
        table.add_column(header, overflow="fold")
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    return table
