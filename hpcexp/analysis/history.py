"""The history of one run: its losses and metrics over epochs, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpcexp.analysis.losses import TOTAL_LOSS
from hpcexp.errors import UsageError
from hpcexp.store.files import write_bytes
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import SPLITS, MetricsTable, read_metrics
from hpcexp.train.inspection import Curves, Line
from hpcexp.worker.inspection.curves import render_curves

NO_METRICS = ("loss.", "weighted.", "schedule.")
"""What the training core records of itself: drawn only where it is asked for by name."""
SPLIT_NAMES = {"train": "training", "validate": "validation"}


def draw_history(
    experiment: ExperimentDir, run: str, *, metrics: Sequence[str] = ()
) -> Path | None:
    """Draw a run into plots/history/; None where it has recorded nothing yet.

    Raises UsageError for a metric that is not recorded, with those that are.
    """
    table = read_metrics(experiment.run(run).path)
    if len(table) == 0:
        return None
    curves = make_history(table, metrics=metrics)
    path = experiment.plots_dir / "history" / f"{run}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, render_curves(curves, headline=f"{experiment.name}, {run}"))
    return path


def make_history(table: MetricsTable, *, metrics: Sequence[str] = ()) -> Curves:
    """A panel for the loss, and one for each metric, over epochs.

    Without `metrics`: all that the workload reports.
    """
    for name in metrics:
        if name not in table.columns:
            raise UsageError(
                f"no metric {name} was recorded; there are: {', '.join(table.columns)}"
            )
    reported = [
        name
        for name in table.columns
        if name not in (TOTAL_LOSS, "grad_norm") and not name.startswith(NO_METRICS)
    ]
    names = [name for name in (TOTAL_LOSS, *(metrics or reported)) if name in table.columns]
    return Curves(
        title="history",
        panels=[[_make_lines(table, name)] for name in dict.fromkeys(names)],
        row_labels=[name.replace("_", " ") for name in dict.fromkeys(names)],
        column_labels=[""],
        x_label="epoch",
    )


def _make_lines(table: MetricsTable, name: str) -> list[Line]:
    """A line for each split, also where it holds nothing: names and colours stay."""
    values, lines = table.column(name).astype(np.float64), []
    for place, split in enumerate(SPLITS):
        known = (table.split == place) & np.isfinite(values)
        epochs = table.epoch[known].astype(np.float64)
        lines.append(Line(SPLIT_NAMES[split], epochs, values[known]))
    return lines
