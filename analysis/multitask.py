"""What do strategies make of several tasks, and which tasks belong together?

    python analysis/multitask.py errors EXPERIMENT      every strategy's error of every task
    python analysis/multitask.py gain EXPERIMENT [--baselines EXPERIMENT]
    python analysis/multitask.py affinity EXPERIMENT [--models 2]
    python analysis/multitask.py forgetting EXPERIMENT

`gain` compares with single-task models: groups of the experiment, or of another, that were
trained on one task alone. `affinity` needs runs with `affinity: {measure: true}`, `forgetting`
runs with `order: one_at_a_time`. Each draws a matrix, and writes the table beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures.drawing import Drawing, save_drawing
from hpcexp.analysis.figures.page import finish_page, make_figure
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.workloads.multitask.grouping import find_best_grouping

ERROR = "error."


def list_tasks(columns: Sequence[str], *, prefix: str = ERROR) -> list[str]:
    """The tasks whose errors are among the columns.

    Raises UsageError where there are none.
    """
    tasks = [c.removeprefix(prefix) for c in columns if c.startswith(prefix)]
    if not tasks:
        raise UsageError("these are no runs of multitask: there is no error.TASK among the metrics")
    return tasks


def tabulate_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """The median final error of each group (rows) in each task (columns); NaN where untrained."""
    tasks = list_tasks(list(runs.columns), prefix=f"final.{ERROR}")
    table = runs.groupby("group", observed=True)[[f"final.{ERROR}{t}" for t in tasks]].median()
    return table.set_axis(tasks, axis=1)


def find_baselines(errors: pd.DataFrame) -> dict[str, float]:
    """The error of each task's single-task model: of a group that has this error alone.

    Raises UsageError where there is no such group.
    """
    alone = errors[errors.notna().sum(axis=1) == 1]
    baselines = alone.min()
    found = {str(task): float(value) for task, value in baselines.items() if not np.isnan(value)}
    if not found:
        raise UsageError(
            "no group was trained on one task alone; give --baselines, an experiment of "
            "templates/multitask/approach_2_single_task.yaml"
        )
    return found


def compute_gain(errors: pd.DataFrame, baselines: Mapping[str, float]) -> pd.DataFrame:
    """Relative gains in percent over single-task models, and their mean `delta_m`.

    Groups of one task are left out. Source: Maninis, Radosavovic & Kokkinos 2019, equation 4,
    of errors: positive is better than the single-task model.
    """
    several = errors[errors.notna().sum(axis=1) > 1]
    tasks = [task for task in errors.columns if baselines.get(task)]
    base = pd.Series({task: baselines[task] for task in tasks})
    gains = 100 * (base - several[tasks]) / base
    return gains.assign(delta_m=gains.mean(axis=1))


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


def tabulate_forgetting(metrics: pd.DataFrame) -> pd.DataFrame:
    """The error of each task (columns) at the end of each phase (rows, by its task).

    The median over runs of one group; a phase is a stretch of epochs in which one task had most
    of the rows. Raises UsageError where no run was trained one task at a time.
    """
    tasks = list_tasks(list(metrics.columns))
    shares = [f"rows.{task}" for task in tasks]
    matrices = []
    for _, run in metrics.groupby("run", observed=True):
        trained = run[run["split"] == "train"].set_index("epoch")[shares]
        validated = run[run["split"] == "validate"].set_index("epoch")
        phase = trained.set_axis(tasks, axis=1).idxmax(axis=1)
        last = phase[phase != phase.shift(-1)]
        if last.duplicated().any() or len(last) < 2:
            continue
        epochs = [e for e in last.index if e in validated.index]
        matrix = validated.loc[epochs, [f"{ERROR}{task}" for task in tasks]]
        matrices.append(matrix.set_axis(last[epochs], axis=0).set_axis(tasks, axis=1))
    if not matrices:
        raise UsageError("no run was trained one task at a time; train with order: one_at_a_time")
    together = pd.concat(matrices)
    return together.groupby(level=0, sort=False).median()


def draw_matrix(
    table: pd.DataFrame, *, stem: str, title: str, footnote: str, is_signed: bool = False
) -> Drawing:
    """A heat map with its numbers in it; a signed one is centred on 0."""
    values = table.to_numpy(float)
    rows, columns = values.shape
    figure, (ax,) = make_figure(axes_width=0.62 * columns + 0.4, axes_height=0.3 * rows + 0.3)
    limit = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    ax.imshow(
        values,
        aspect="auto",
        cmap="RdBu" if is_signed else "Blues",
        vmin=-limit if is_signed else 0,
        vmax=limit,
    )
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        is_dark = abs(value) > 0.6 * limit
        ax.text(
            column,
            row,
            f"{value:.2g}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if is_dark else "black",
        )
    ax.set_xticks(range(columns), [str(c) for c in table.columns], rotation=30, ha="right")
    ax.set_yticks(range(rows), [str(i) for i in table.index])
    ax.tick_params(labelsize=7, length=0)
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
