"""What exporters that know runs, and not tables, write of each run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcexp.analysis.frames import Results
from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import read_run_config
from hpcexp.store.metrics import SPLITS, MetricsTable, read_metrics


@dataclass(frozen=True, eq=False)
class ExportedRun:
    """A run with all its hyperparameters by dotted name, its final values and its rows.

    `final` leaves out what has no final value; that of a diverged run is infinite.
    """

    name: str
    group: str
    rand_init: int
    state: str
    params: Mapping[str, Any]
    final: Mapping[str, float]
    table: MetricsTable


@dataclass(frozen=True)
class Point:
    """The metrics of a split at a step; `time` is in seconds since 1970 (UTC)."""

    step: int
    epoch: int
    split: str
    time: float
    values: Mapping[str, float]


def iter_runs(results: Results) -> Iterator[ExportedRun]:
    """All planned runs; one that cannot be read has no rows."""
    finals = [str(name) for name in results.runs if str(name).startswith("final.")]
    for row in results.runs.to_dict("records"):
        run_dir = results.experiment.run(row["run"])
        try:
            params = dict(flatten(read_run_config(run_dir).params))
            table = read_metrics(run_dir.path)
        except HpcexpError:  # named in results.problems
            continue
        final = {name.removeprefix("final."): float(row[name]) for name in finals}
        yield ExportedRun(
            name=row["run"],
            group=str(row["group"]),
            rand_init=int(row["rand_init"]),
            state=str(row["state"]),
            params=params,
            final={name: value for name, value in final.items() if not math.isnan(value)},
            table=table,
        )


def iter_points(table: MetricsTable) -> Iterator[Point]:
    """The rows of a run, oldest first, each with the metrics that its split has."""
    for split, split_name in enumerate(SPLITS):
        rows = np.flatnonzero(table.split == split)
        columns = [c for c in table.columns if not np.isnan(table.column(c)[rows]).all()]
        values = np.stack([table.column(c)[rows] for c in columns], axis=1) if columns else None
        for place, row in enumerate(rows.tolist()):
            found = () if values is None else values[place].tolist()
            yield Point(
                step=int(table.step[row]),
                epoch=int(table.epoch[row]),
                split=split_name,
                time=float(table.time[row]),
                values=dict(zip(columns, found, strict=True)),
            )


def flatten(params: Mapping[str, Any], *, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Hyperparameters by dotted name; lists stay whole."""
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, inside=f"{inside}{key}.")
        else:
            yield f"{inside}{key}", value


def make_tag(metric: str) -> str:
    """`loss.predict.image` as `loss/predict.image`: viewers make a section of what is before /."""
    return metric.replace(".", "/", 1)
