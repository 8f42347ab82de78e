"""Several experiments at once: compared, taken in from elsewhere, or written as a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from hpcexp.api.experiment import Experiment
from hpcexp.api.recorded import RecordedExperiment, choose_experiments_dir, find_directory
from hpcexp.errors import UsageError

if TYPE_CHECKING:
    from hpcexp.analysis.compare import Comparison

NOTEBOOK_SUFFIXES = (".html", ".md")


def compare(
    *experiments: str | Path | RecordedExperiment,
    output: str | Path | None = None,
    experiments_dir: str | Path | None = None,
) -> Comparison:
    """Hold experiments against each other: settings that differ, boxplots, tests."""
    from hpcexp.analysis.compare import compare_experiments

    found = [
        each.directory
        if isinstance(each, RecordedExperiment)
        else find_directory(each, experiments_dir)
        for each in experiments
    ]
    return compare_experiments(found, output_dir=None if output is None else Path(output))


def import_results(
    file: str | Path,
    *,
    name: str | None = None,
    question: str | None = None,
    workload: str | None = None,
    metric: str | None = None,
    success_below: float | None = None,
    variables: Sequence[str] = (),
    experiments_dir: str | Path | None = None,
) -> list[Experiment]:
    """Make experiments of a table of finished results from elsewhere: docs/statistics.md."""
    from hpcexp.launch.import_results import ImportOptions
    from hpcexp.launch.import_results import import_results as make

    options = ImportOptions(name, question, workload, metric, success_below, tuple(variables))
    directory = choose_experiments_dir(experiments_dir)
    return [
        Experiment(each) for each in make(Path(file), experiments_dir=directory, options=options)
    ]


def write_notebook(
    *outputs: str | Path,
    since: date | None = None,
    until: date | None = None,
    experiments_dir: str | Path | None = None,
) -> tuple[Path, ...]:
    """Write all experiments and notes by date, as HTML and Markdown; the files."""
    from hpcexp.analysis.lab_notebook.write import write_notebook as write

    paths = tuple(map(Path, outputs))
    for path in paths:
        if path.suffix not in NOTEBOOK_SUFFIXES:
            raise UsageError(f"{path}: the notebook is written as .html or .md")
    directory = choose_experiments_dir(experiments_dir)
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}/ of experiments")
    return tuple(write(directory, outputs=paths, since=since, until=until).paths)
