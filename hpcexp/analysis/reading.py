"""Reading all that an experiment has recorded, whatever state its runs are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.rows import AverageKey
from hpcexp.analysis.rows_cache import compute_fingerprint, read_kept_rows
from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MetricsTable, concatenate, read_concatenated, read_metrics
from hpcexp.store.status import RunStatus, read_status

_NUM_THREADS = 8  # hide the latency of a network file system


@dataclass(frozen=True)
class Recorded:
    """What stands in an experiment directory at one moment.

    `statuses` are in the order of `plan.runs`; None where it cannot be read. `table` has at
    least the first and the last validation of each run; `run_index`, (rows,), is the place in
    `plan.runs` of each of its rows, and `read_all` gives both of all rows. `max_epoch` is that
    of all rows, None where there is none. `problems` says of a run (by the same place) what
    cannot be read of it. `is_kept` says whether this was read from a cache.
    """

    plan: Plan
    statuses: tuple[RunStatus | None, ...]
    table: MetricsTable
    run_index: NDArray[np.int32]
    read_all: Callable[[], tuple[MetricsTable, NDArray[np.int32]]]
    max_epoch: int | None
    problems: Mapping[int, str]
    averages: Mapping[AverageKey, NDArray[np.float64]] = field(default_factory=dict)
    fingerprint: str | None = None
    is_kept: bool = False


def read_recorded(experiment: ExperimentDir) -> Recorded:
    """Read the plan, every status, and every row of metrics.

    A run that cannot be read is a problem that is named, not an error.
    Raises HpcexpError where the experiment itself cannot be read.
    """
    plan = read_plan(experiment)
    run_dirs = [experiment.run(run.name) for run in plan.runs]
    # Statuses first: a run that ends meanwhile is then seen as still running with all its
    # rows, never as finished with some of them.
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        statuses = list(pool.map(_try_status, run_dirs))
    unreadable = {i: s for i, s in enumerate(statuses) if isinstance(s, str)}
    known = tuple(None if isinstance(s, str) else s for s in statuses)
    paths = [run_dir.path for run_dir in run_dirs]
    fingerprint = compute_fingerprint(paths)  # before the rows: what is added meanwhile tells
    kept = read_kept_rows(experiment, fingerprint=fingerprint)
    if kept is not None:
        return Recorded(
            plan,
            known,
            kept.table,
            kept.run_index,
            read_all=lambda: _read_tables(paths)[:2],
            max_epoch=kept.max_epoch,
            problems=unreadable,
            averages=kept.averages,
            fingerprint=fingerprint,
            is_kept=True,
        )
    table, run_index, damaged = _read_tables(paths)
    return Recorded(
        plan,
        known,
        table,
        run_index,
        read_all=lambda: (table, run_index),
        max_epoch=int(table.epoch.max()) if len(table) else None,
        problems=damaged | unreadable,
        fingerprint=None if damaged else fingerprint,
    )


def _try_status(run_dir: RunDir) -> RunStatus | str:
    """The status, or why it cannot be read."""
    try:
        return read_status(run_dir)
    except HpcexpError as error:
        return str(error)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{run_dir.status_path}: cannot be read ({type(error).__name__}: {error})"


def _read_tables(
    run_dirs: Sequence[Path],
) -> tuple[MetricsTable, NDArray[np.int32], dict[int, str]]:
    """All rows, the run of each, and which runs cannot be read."""
    present = np.array([i for i, path in enumerate(run_dirs) if path.is_dir()], np.int32)
    try:
        table, index = read_concatenated([run_dirs[i] for i in present])
    except HpcexpError:
        return _read_one_by_one(run_dirs)
    return table, present[index], {}


def _read_one_by_one(
    run_dirs: Sequence[Path],
) -> tuple[MetricsTable, NDArray[np.int32], dict[int, str]]:
    """The same, slower, where something is damaged."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        tables = list(pool.map(_try_metrics, run_dirs))
    problems = {i: t for i, t in enumerate(tables) if isinstance(t, str)}
    intact = {i: t for i, t in enumerate(tables) if not isinstance(t, str)}
    table, index = concatenate(list(intact.values()))
    return table, np.array(list(intact), np.int32)[index], problems


def _try_metrics(run_dir: Path) -> MetricsTable | str:
    """The rows, or why they cannot be read."""
    try:
        return read_metrics(run_dir)
    except HpcexpError as error:
        return str(error)
