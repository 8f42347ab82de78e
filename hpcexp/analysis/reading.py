"""Reading all that an experiment has recorded, whatever state its runs are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MetricsTable, concatenate, read_concatenated, read_metrics
from hpcexp.store.status import RunStatus, read_status

_NUM_THREADS = 8  # hide the latency of a network file system


@dataclass(frozen=True)
class Recorded:
    """What stands in an experiment directory at one moment.

    `statuses` are in the order of `plan.runs`; None where it cannot be read. `run_index`,
    (rows,), is the place in `plan.runs` of each row of `table`. `problems` says of a run (by
    the same place) what cannot be read of it.
    """

    plan: Plan
    statuses: tuple[RunStatus | None, ...]
    table: MetricsTable
    run_index: NDArray[np.int32]
    problems: Mapping[int, str]


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
    table, run_index, damaged = _read_tables([run_dir.path for run_dir in run_dirs])
    unreadable = {i: s for i, s in enumerate(statuses) if isinstance(s, str)}
    known = tuple(None if isinstance(s, str) else s for s in statuses)
    return Recorded(plan, known, table, run_index, problems=damaged | unreadable)


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
