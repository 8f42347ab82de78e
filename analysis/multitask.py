"""What do strategies make of several tasks, and which tasks belong together?

    python analysis/multitask.py errors EXPERIMENT      every strategy's error of every task
    python analysis/multitask.py gain EXPERIMENT [--baselines EXPERIMENT]
    python analysis/multitask.py affinity EXPERIMENT [--models 2]
    python analysis/multitask.py forgetting EXPERIMENT

`gain` compares with single-task models: groups of the experiment, or of another, that were
trained on one task alone. `affinity` needs runs with `affinity: {measure: true}`, `forgetting`
runs with `order: one_at_a_time`. Each draws a matrix, and writes the table beside it; all but
`affinity` are in `hpcexp plot` and `hpcexp report` too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures.drawing import Drawing, save_drawing
from hpcexp.analysis.figures.matrix import draw_cells, measure_matrix
from hpcexp.analysis.figures.page import finish_page, make_figure
from hpcexp.analysis.tasks import (
    compute_gain,
    find_baselines,
    tabulate_errors,
    tabulate_forgetting,
)
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.workloads.multitask.grouping import find_best_grouping


def tabulate_affinity(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean affinity from each task (rows) to each (columns), over evaluations and runs.

    Raises UsageError where none was measured.
    """
    names = [c for c in metrics.columns if c.startswith("affinity.")]
    if not names:
        raise UsageError("no affinity was measured; train with affinity: {measure: true}")
    rows = metrics[metrics["split"] == "validate"]
    means = rows[names].mean()
    pairs = pd.MultiIndex.from_tuples([tuple(n.split(".")[1:]) for n in names])
    table = means.set_axis(pairs).unstack()
    tasks = list(dict.fromkeys(n.split(".")[1] for n in names))
    return table.loc[tasks, tasks]


def draw_matrix(
    table: pd.DataFrame, *, stem: str, title: str, footnote: str, is_signed: bool = False
) -> Drawing:
    """A heat map with its numbers in it; a signed one is centred on 0."""
    size = measure_matrix(table)
    figure, (ax,) = make_figure(axes_width=size.width, axes_height=size.height)
    draw_cells(ax, table, is_signed=is_signed)
    finish_page(figure, headline=title, footnote=footnote)
    return Drawing(stem, figure, table.reset_index())


def _study_errors(results: Results, options: argparse.Namespace) -> Drawing:
    del options
    table = tabulate_errors(results.runs)
    return draw_matrix(
        table,
        stem="multitask_errors",
        title="error of each task (1 - AUC, or 1 - R²)",
        footnote="Medians over initialisations; empty where a group does not train a task.",
    )


def _study_gain(results: Results, options: argparse.Namespace) -> Drawing:
    errors = tabulate_errors(results.runs)
    other = errors if options.baselines is None else tabulate_errors(load(options.baselines).runs)
    table = compute_gain(errors, find_baselines(other)).sort_values("delta_m", ascending=False)
    return draw_matrix(
        table,
        stem="multitask_gain",
        title="gain over single-task models (%)",
        footnote="Of median errors; delta_m is the mean of a row. It says nothing of chance: "
        "hpcexp report does.",
        is_signed=True,
    )


def _study_affinity(results: Results, options: argparse.Namespace) -> Drawing:
    table = tabulate_affinity(results.metrics)
    tasks = [str(task) for task in table.index]
    values = table.to_numpy(float)
    affinities = {
        (i, j): float(values[row, column])
        for row, i in enumerate(tasks)
        for column, j in enumerate(tasks)
    }
    best = find_best_grouping(tasks, affinities, num_models=options.models)
    print(f"the best groups for {options.models} models (mean affinity {best.score:.3g}):")
    for group in best.groups:
        served = [task for task, own in best.served_by.items() if own == group]
        print(f"  [{', '.join(group)}] serves {', '.join(served)}")
    return draw_matrix(
        1000 * table,
        stem="multitask_affinity",
        title="affinity from (rows) to (columns), times 1000",
        footnote="How much of a task's loss one step on another takes away; mean over evaluations "
        "and runs.",
        is_signed=True,
    )


def _study_forgetting(results: Results, options: argparse.Namespace) -> Drawing:
    del options
    return draw_matrix(
        tabulate_forgetting(results.metrics),
        stem="multitask_forgetting",
        title="error of each task (columns) after each phase (rows)",
        footnote="Medians over the runs that were trained one task at a time.",
    )


STUDIES = {
    "errors": _study_errors,
    "gain": _study_gain,
    "affinity": _study_affinity,
    "forgetting": _study_forgetting,
}


def main() -> int:
    """Print a table, and write it with its figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("experiment", help="a directory, part of a name, or latest")
    parser.add_argument("--baselines", help="gain: the experiment of the single-task models")
    parser.add_argument("--models", type=int, default=2, help="affinity: number of models")
    parser.add_argument("--output", type=Path, help="directory (default: the experiment's plots)")
    options = parser.parse_args()
    try:
        results = load(options.experiment)
        if results.is_empty:
            raise UsageError(f"{results.experiment.name}: no run has recorded anything yet")
        drawing = STUDIES[options.study](results, options)
    except HpcexpError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(drawing.table.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    for path in save_drawing(drawing, plots_dir=options.output or results.experiment.plots_dir):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
