"""What the page draws as boxes and rates, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpcexp.analysis.figures.boxplot import choose_limits, make_box_table, spread_points
from hpcexp.analysis.figures.units import add_unit
from hpcexp.analysis.frames import Results
from hpcexp.analysis.losses import describe_loss, is_loss
from hpcexp.analysis.report.numbers import shorten, shorten_all
from hpcexp.analysis.summary import Summary, describe_distribution
from hpcexp.analysis.tasks import ERROR
from hpcexp.train.metric import Metric

MAX_METRICS = 20
MAX_RUNS_WITH_ALL = 2500
"""With more runs only the primary metric and the total loss have boxes."""

Data = Mapping[str, Any]


def collect_boxes(results: Results) -> list[Data]:
    """One entry for each metric that has values: boxes by group, a value for each run."""
    few = len(results.runs) > MAX_RUNS_WITH_ALL
    boxes = [_collect_one(results, metric) for metric in list_box_metrics(results)]
    return [box for box in boxes if box is not None][: 2 if few else MAX_METRICS]


def list_box_metrics(results: Results) -> list[Metric]:
    """The primary metric first, then errors of tasks, the losses, and all others."""
    names = [str(c).removeprefix("final.") for c in results.runs if str(c).startswith("final.")]
    # A stable sort: else as recorded.
    names.sort(key=lambda name: (not name.startswith(ERROR), not is_loss(name)))
    others = [_describe(name, results) for name in names if name != results.metric.name]
    return [results.metric, *others]


def _describe(name: str, results: Results) -> Metric:
    """A metric by its name; a part of the primary one is capped as that is."""
    if is_loss(name):
        title = describe_loss(name, columns=results.metrics.columns)
        return Metric(name, title=f"{title} (validation)")
    primary = results.metric
    part = name.removeprefix(f"{primary.name}.")
    if part != name:
        return Metric(name, title=f"{primary.title}, {part}", cap=primary.cap)
    if name.startswith(ERROR):
        return Metric(name, title=f"error of task {name.removeprefix(ERROR)}")
    return Metric(name, title=name.replace("_", " "))


def _collect_one(results: Results, metric: Metric) -> Data | None:
    table = make_box_table(results, metric)
    values = table["value"].to_numpy(np.float64)
    if not np.isfinite(values).any():
        return None
    limits = choose_limits(values, metric)
    return {
        "name": metric.name,
        "title": metric.title,
        "axis": add_unit(metric.title, metric.name),
        "cap": metric.cap,
        "threshold": metric.success_below,
        "log": limits.is_log,
        "values": shorten_all(values),
        "final": [int(flag) for flag in table["is_final"]],
        "boxes": [_collect_box(table, name) for name in results.group_axis.names],
    }


def _collect_box(table: Any, group: str) -> Data:
    final = table.loc[(table["group"] == group) & table["is_final"], "value"]
    found = describe_distribution(final)
    quantiles = (found.min, found.lower_quartile, found.median, found.upper_quartile, found.max)
    return {"n": found.n, "quantiles": shorten_all(quantiles)}


def collect_rates(summary: Summary) -> list[Data]:
    """Successes by group with Wilson's interval; nothing where the metric has no threshold."""
    return [
        {
            "k": group.success.num_successes,
            "n": group.success.num_trials,
            "rate": shorten(group.success.rate),
            "low": shorten(group.success.low),
            "high": shorten(group.success.high),
        }
        for group in summary.groups
        if group.success is not None
    ]


def collect_runs(results: Results) -> Data:
    """All runs, a list for each column: name, group, initialisation, state, place in the box."""
    runs = results.runs
    return {
        "name": runs["run"].tolist(),
        "group": runs["group"].cat.codes.tolist(),
        "seed": runs["rand_init"].tolist(),
        "state": runs["state"].tolist(),
        "epoch": [int(epoch) for epoch in runs["epoch"]],
        "place": shorten_all(spread_points(runs["rand_init"].to_numpy(np.int64)), 3),
    }
