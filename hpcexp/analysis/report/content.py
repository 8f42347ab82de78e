"""Everything that a report says, collected; drawing and writing it comes after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import hpcexp
from hpcexp.analysis.describe import describe_counts, describe_states
from hpcexp.analysis.findings import Findings, find_out
from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.report.box_data import collect_boxes, collect_rates, collect_runs
from hpcexp.analysis.report.circumstances import Circumstances
from hpcexp.analysis.report.curve_data import collect_curves
from hpcexp.analysis.report.origin import (
    Origin,
    Varied,
    list_shared_settings,
    list_varied_settings,
    read_origin,
)
from hpcexp.analysis.report.palette import GroupColour, choose_group_colours
from hpcexp.analysis.report.pictures import Gallery, collect_gallery
from hpcexp.analysis.report.samples import Samples, collect_samples
from hpcexp.analysis.report.tables import (
    GroupRow,
    PairRow,
    RunRow,
    make_group_rows,
    make_pair_rows,
    make_run_rows,
    split_verdicts,
)
from hpcexp.analysis.report.task_tables import TaskTable, make_task_tables
from hpcexp.analysis.report.usage import Usage, measure_usage
from hpcexp.analysis.sampled import is_sampled
from hpcexp.analysis.settings import read_configs
from hpcexp.analysis.summary import Summary, summarise
from hpcexp.analysis.tasks import add_baselines
from hpcexp.analysis.verdict_lines import describe_verdicts
from hpcexp.store.experiment import Plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.gather import read_all_notes
from hpcexp.store.notebook.notes import Note
from hpcexp.store.status import FINISHED
from hpcexp.store.usage import read_usages

UNTITLED = "What was varied, and what came of it"


@dataclass(frozen=True, eq=False)
class Report:
    """What stands on the page, section by section; `data` is what its charts are drawn from."""

    results: Results
    summary: Summary
    findings: Findings
    circumstances: Circumstances
    title: str
    written: str
    version: str
    counts: str
    not_counted: str
    verdicts: Sequence[tuple[str, str]]
    rand_inits: str
    varied: Sequence[Varied]
    shared: Sequence[tuple[str, str]]
    groups: Sequence[GroupRow]
    pairs: Sequence[PairRow]
    runs: Sequence[RunRow]
    tasks: Sequence[TaskTable]
    colours: Sequence[GroupColour]
    samples: Samples | None
    gallery: Gallery
    usage: Usage
    origin: Origin
    notes: Sequence[Note]
    problems: Sequence[str]
    data: Mapping[str, Any]


def collect_report(
    experiment: ExperimentDir,
    circumstances: Circumstances,
    *,
    baselines: ExperimentDir | None = None,
) -> Report:
    """Read all that an experiment has recorded so far, also before it has recorded anything.

    `baselines` is the experiment of single-task models that gains are over. Raises HpcexpError
    where a plan cannot be read.
    """
    results = add_baselines(load(experiment), baselines)
    summary, axis = summarise(results), results.group_axis
    configs = read_configs(experiment, results.plan)
    findings = find_out(results, configs=configs)
    notes = read_all_notes(experiment)
    states = summary.states
    rest = {s.replace("_", " "): n for s, n in states.items() if s not in FINISHED}
    return Report(
        results=results,
        summary=summary,
        findings=findings,
        circumstances=circumstances,
        title=results.plan.question or UNTITLED,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip(),
        version=hpcexp.__version__,
        counts=describe_counts(states),
        not_counted=describe_states(rest),
        verdicts=split_verdicts(describe_verdicts(findings, rest="the table of pairs has all")),
        rand_inits=_count_rand_inits(results.plan),
        varied=list_varied_settings(results.plan, configs),
        shared=list_shared_settings(configs),
        groups=make_group_rows(findings),
        pairs=make_pair_rows(findings),
        runs=make_run_rows(results, circumstances.statuses),
        tasks=make_task_tables(results),
        colours=choose_group_colours(axis),
        samples=collect_samples(results, findings),
        gallery=collect_gallery(results),
        usage=measure_usage(
            results.plan,
            circumstances.statuses,
            dict(zip(axis.names, axis.labels, strict=True)),
            accounted=circumstances.accounted,
            jobs=read_usages(experiment),
        ),
        origin=read_origin(experiment, results.plan, axis),
        notes=notes.notes,
        problems=[*results.problems, *notes.problems, *circumstances.remarks],
        data=_collect_data(results, summary),
    )


def _count_rand_inits(plan: Plan) -> str:
    """`8`, or `4 to 8` where some groups were given more."""
    counts = sorted(Counter(run.group for run in plan.runs).values())
    return str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"


def _collect_data(results: Results, summary: Summary) -> dict[str, Any]:
    axis = results.group_axis
    return {
        "axis": {"title": axis.title or "group", "labels": list(axis.labels)},
        "groups": list(axis.names),
        "runs": collect_runs(results),
        # A box for each of many samples says nothing: they have figures of their own.
        "boxes": [] if results.is_empty or is_sampled(results.plan) else collect_boxes(results),
        "rates": collect_rates(summary),
        "rate": {"title": results.metric.success_title, "below": results.metric.success_below},
        "curves": [] if results.is_empty else collect_curves(results),
    }
