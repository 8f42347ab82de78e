"""What exporters that know runs, and not tables, write of each run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpcexp.analysis.frames import Results
from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import read_run_config
from hpcexp.store.metrics import MetricsTable, read_metrics
from hpcexp.worker.tracking.rows import flatten


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
