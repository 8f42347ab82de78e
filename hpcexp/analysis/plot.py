"""From an experiment to its numbers and figures, and the table beside each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.analysis.describe import describe_states
from hpcexp.analysis.drawn import draw_figures
from hpcexp.analysis.figures import FIGURES, SAMPLED_FIGURES
from hpcexp.analysis.figures.media import SCREEN, Medium
from hpcexp.analysis.findings import Findings, find_out
from hpcexp.analysis.findings_files import save_findings
from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.rows_cache import keep_rows
from hpcexp.analysis.sampled import is_sampled
from hpcexp.analysis.summary import Summary, summarise
from hpcexp.analysis.tasks import add_baselines
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class PlotReport:
    """What was drawn of what; `written` is in the order of writing: PDF, PNG, CSV of each,
    in `directory`.

    `tables` are the statistics, as JSON and as CSV of groups and of pairs.
    """

    results: Results
    summary: Summary
    findings: Findings
    tables: tuple[Path, ...]
    written: tuple[Path, ...]
    directory: Path


def plot_experiment(
    experiment: ExperimentDir,
    *,
    figures: Sequence[str] | None = None,
    medium: Medium = SCREEN,
    baselines: ExperimentDir | None = None,
    on_numbers: Callable[[Results, Summary, Findings], None] = lambda *_: None,
) -> PlotReport:
    """Draw what has been recorded so far; `figures` are names in FIGURES, by default all that
    suit the experiment, `medium` what they are for, `baselines` the single-task models that
    gains of tasks are over.

    `on_numbers` is called before the drawing, which takes longer than the numbers do. What
    has no data yet is not drawn, and what has not changed not again. Raises UsageError for an
    unknown figure, HpcexpError where no run has recorded anything.
    """
    _check_figures(figures or ())
    results = add_baselines(load(experiment), baselines)
    chosen = figures or (SAMPLED_FIGURES if is_sampled(results.plan) else tuple(FIGURES))
    summary = summarise(results)
    if results.is_empty:
        raise HpcexpError(
            f"{experiment.name}: no run has recorded anything yet "
            f"({describe_states(summary.states)}); hpcexp status {experiment.name} shows why"
        )
    findings = find_out(results)
    on_numbers(results, summary, findings)
    directory = results.experiment.plots_dir / medium.folder
    tables = save_findings(findings, results.experiment.plots_dir)
    written = draw_figures(results, chosen, medium=medium)
    keep_rows(results)
    return PlotReport(
        results,
        summary,
        findings,
        tables,
        written,
        directory,
    )


def _check_figures(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise UsageError(f"no such figure: {', '.join(unknown)}; there are: {', '.join(FIGURES)}")
