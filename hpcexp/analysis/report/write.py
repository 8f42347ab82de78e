"""Writing a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpcexp.analysis.lab_notebook.write import write_page
from hpcexp.analysis.report.circumstances import Circumstances
from hpcexp.analysis.report.content import collect_report
from hpcexp.analysis.report.render import render_report
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class WrittenReport:
    """Where it is, how large, and what could not be read for it."""

    path: Path
    num_bytes: int
    counts: str
    problems: tuple[str, ...]


def write_report(
    experiment: ExperimentDir,
    circumstances: Circumstances,
    *,
    baselines: ExperimentDir | None = None,
    output: Path | None = None,
) -> WrittenReport:
    """Write a report whole or not at all, among the figures unless another place is given.

    Raises HpcexpError where the experiment cannot be read or the file not be written.
    """
    report = collect_report(experiment, circumstances, baselines=baselines)
    page = render_report(report).encode("utf-8", errors="backslashreplace")
    path = output or experiment.report_path
    write_page(path, page)
    return WrittenReport(path, len(page), report.counts, tuple(report.problems))
