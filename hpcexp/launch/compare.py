"""Comparing a run with one that should be equal to it, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.store.files import read_json
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import SPLITS, MetricsTable, read_metrics
from hpcexp.store.status import read_status

KEYS = ("epoch", "step", "split")
MACHINE_WORDS = {
    "device": "device",
    "num_threads": "threads",
    "lanes": "lanes",
    "instructions": "CPU instructions",
    "code": "code",
}


@dataclass(frozen=True)
class Difference:
    """The first value that differs: in which row, counted from 0, of which metric."""

    row: int
    epoch: int
    step: int
    split: str
    metric: str
    then: float
    now: float

    @property
    def relative(self) -> float:
        """The difference as a part of the larger value; infinite where one is not finite."""
        return find_relative(self.then, self.now)


@dataclass(frozen=True)
class Comparison:
    """What comparing two tables found.

    `num_rows` are in both, and so are `num_metrics`; `only_then` and `only_now` are metrics
    of one. `largest` is the largest relative difference in all rows.
    """

    num_rows_then: int
    num_rows_now: int
    num_metrics: int
    difference: Difference | None
    num_rows_differing: int
    largest: float
    only_then: tuple[str, ...]
    only_now: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """How many rows both have."""
        return min(self.num_rows_then, self.num_rows_now)

    @property
    def is_equal(self) -> bool:
        """Whether there are rows, and they are equal as far as both go."""
        same_metrics = not self.only_then and not self.only_now
        return self.num_rows > 0 and self.difference is None and same_metrics


@dataclass(frozen=True)
class Change:
    """Something in the surroundings of two runs that is not the same."""

    what: str
    then: str
    now: str


def find_relative(then: float, now: float) -> float:
    """How far two values are apart, as a part of the larger one."""
    if then == now:
        return 0.0
    if not (math.isfinite(then) and math.isfinite(now)):
        return math.inf
    return abs(then - now) / max(abs(then), abs(now))


def compare_runs(then: RunDir, now: RunDir) -> Comparison:
    """Compare the metrics of two runs, row by row; the times of rows do not count.

    Raises HpcexpError where metrics cannot be read.
    """
    return compare_tables(read_metrics(then.path), read_metrics(now.path))


def compare_tables(then: MetricsTable, now: MetricsTable) -> Comparison:
    """Compare two tables as far as both go. Values are equal if their bits are, or both NaN."""
    common = tuple(name for name in then.columns if name in now.columns)
    num_rows = min(len(then), len(now))
    values = [_take(table, common, num_rows) for table in (then, now)]
    keys = [
        np.stack([getattr(table, name)[:num_rows] for name in KEYS], axis=1).astype(np.float64)
        for table in (then, now)
    ]
    differs = np.concatenate([keys[0] != keys[1], _find_unequal(*values)], axis=1)
    rows = np.flatnonzero(differs.any(axis=1))
    difference = None
    if len(rows):
        first = int(rows[0])
        column = int(np.flatnonzero(differs[first])[0])
        both = [np.concatenate([k[first], v[first]]) for k, v in zip(keys, values, strict=True)]
        difference = Difference(
            row=first,
            epoch=int(then.epoch[first]),
            step=int(then.step[first]),
            split=SPLITS[then.split[first]],
            metric=(*KEYS, *common)[column],
            then=float(both[0][column]),
            now=float(both[1][column]),
        )
    return Comparison(
        num_rows_then=len(then),
        num_rows_now=len(now),
        num_metrics=len(common),
        difference=difference,
        num_rows_differing=len(rows),
        largest=_find_largest(*values),
        only_then=tuple(name for name in then.columns if name not in now.columns),
        only_now=tuple(name for name in now.columns if name not in then.columns),
    )


def _take(table: MetricsTable, columns: tuple[str, ...], num_rows: int) -> NDArray[np.float32]:
    """(rows, columns), in the order of `columns`."""
    chosen = [table.columns.index(name) for name in columns]
    return np.ascontiguousarray(table.values[:num_rows, chosen])


def _find_unequal(then: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.bool_]:
    """By bits, so that 0 and -0 differ; one NaN is like another."""
    unequal = then.view(np.uint32) != now.view(np.uint32)
    found: NDArray[np.bool_] = unequal & ~(np.isnan(then) & np.isnan(now))
    return found


def _find_largest(then: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    unequal = _find_unequal(then, now)
    pairs = zip(then[unequal].tolist(), now[unequal].tolist(), strict=True)
    return max((find_relative(a, b) for a, b in pairs), default=0.0)


def compare_surroundings(then: RunDir, now: RunDir) -> list[Change]:
    """What is known to differ between the machines, the Pythons and the packages of two runs.

    Raises HpcexpError where a record is damaged.
    """
    described = [_describe_surroundings(run_dir) for run_dir in (then, now)]
    changes = [
        Change(what, described[0][what], described[1][what])
        for what in described[0]
        if what in described[1] and described[0][what] != described[1][what]
    ]
    return changes + _compare_packages(then.experiment, now.experiment)


def _describe_surroundings(run_dir: RunDir) -> dict[str, str]:
    """What is known; an older version wrote down less."""
    machine: Mapping[str, Any] = read_status(run_dir).machine
    provenance = read_json(run_dir.experiment.provenance_dir / "provenance.json")
    known = {
        "Python": provenance.get("python"),
        **{word: machine.get(name) for name, word in MACHINE_WORDS.items()},
    }
    return {what: str(value) for what, value in known.items() if value is not None}


def _compare_packages(then: ExperimentDir, now: ExperimentDir) -> list[Change]:
    before, after = _read_packages(then), _read_packages(now)
    names = sorted(before.keys() | after.keys(), key=str.lower)
    return [
        Change(name, before.get(name, "none"), after.get(name, "none"))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _read_packages(experiment: ExperimentDir) -> dict[str, str]:
    path = experiment.provenance_dir / "packages.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: version for name, _, version in (line.partition("==") for line in lines)}
