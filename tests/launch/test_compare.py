from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hpcexp.launch.compare import (
    Change,
    Comparison,
    compare_surroundings,
    compare_tables,
    find_relative,
)
from hpcexp.store.files import write_json
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MetricsTable
from hpcexp.store.metrics.table import allocate
from hpcexp.store.status import RunStatus, write_status

COLUMNS = ("loss", "mse")


def make_table(*, num_rows: int = 6, columns: tuple[str, ...] = COLUMNS) -> MetricsTable:
    """Rows of train and validate in turn; the times of two tables are never the same."""
    table = allocate(columns, num_rows=num_rows)
    table.epoch[:] = np.arange(num_rows) // 2
    table.step[:] = 10 * table.epoch
    table.split[:] = np.arange(num_rows) % 2
    table.time[:] = np.random.default_rng().random(num_rows)
    for column, name in enumerate(columns):
        table.values[:, column] = np.arange(num_rows) + len(name) / 10
    return table


def compare_after(row: int, column: int, *, then: float, now: float) -> Comparison:
    """Of two tables that were equal but for one value."""
    tables = make_table(), make_table()
    for table, value in zip(tables, (then, now), strict=True):
        table.values[row, column] = value
    return compare_tables(*tables)


# ------------------------------------------------------------------------------------- metrics


def test_equal_tables_are_equal_though_their_times_are_not() -> None:
    comparison = compare_tables(make_table(), make_table())
    assert comparison.is_equal
    assert (comparison.num_rows, comparison.num_metrics) == (6, 2)
    assert (comparison.num_rows_differing, comparison.largest) == (0, 0.0)


def test_only_rows_that_both_have_are_compared() -> None:
    comparison = compare_tables(make_table(num_rows=6), make_table(num_rows=4))
    assert comparison.is_equal
    assert (comparison.num_rows, comparison.num_rows_then, comparison.num_rows_now) == (4, 6, 4)


def test_no_row_is_not_equality() -> None:
    assert not compare_tables(make_table(), make_table(num_rows=0)).is_equal
    assert not compare_tables(make_table(), allocate((), num_rows=0)).is_equal


def test_the_first_difference_is_told_with_its_row_and_metric() -> None:
    comparison = compare_after(3, 1, then=2.0, now=1.5)
    difference = comparison.difference
    assert difference is not None
    assert (difference.row, difference.epoch, difference.step) == (3, 1, 10)
    assert (difference.split, difference.metric) == ("validate", "mse")
    assert (difference.then, difference.now, difference.relative) == (2.0, 1.5, 0.25)
    assert not comparison.is_equal


def test_all_rows_that_differ_are_counted_and_the_largest_difference_is_told() -> None:
    then, now = make_table(), make_table()
    now.values[2, 0] *= 1.01
    now.values[4, 1] *= 2
    comparison = compare_tables(then, now)
    assert comparison.num_rows_differing == 2
    assert comparison.largest == pytest.approx(0.5)
    assert comparison.difference is not None
    assert comparison.difference.row == 2


def test_the_last_bit_counts() -> None:
    value = np.float32(0.1)
    comparison = compare_after(
        0, 0, then=float(value), now=float(np.nextafter(value, np.float32(1)))
    )
    assert not comparison.is_equal
    assert 0 < comparison.largest < 1e-7


def test_zero_is_not_minus_zero_and_nan_is_like_nan() -> None:
    assert not compare_after(0, 0, then=0.0, now=-0.0).is_equal
    assert compare_after(0, 0, then=math.nan, now=math.nan).is_equal
    differing = compare_after(0, 0, then=math.nan, now=1.0)
    assert (differing.is_equal, differing.largest) == (False, math.inf)


@pytest.mark.parametrize("key", ["epoch", "step", "split"])
def test_rows_of_other_places_differ(key: str) -> None:
    then, now = make_table(), make_table()
    getattr(now, key)[2] += 1
    difference = compare_tables(then, now).difference
    assert difference is not None
    assert (difference.row, difference.metric) == (2, key)


def test_columns_are_compared_by_name_and_those_of_one_table_are_told() -> None:
    then = make_table(columns=("loss", "mse", "old"))
    now = make_table(columns=("new", "mse", "loss"))
    comparison = compare_tables(then, now)
    assert (comparison.difference, comparison.num_metrics) == (None, 2)
    assert (comparison.only_then, comparison.only_now) == (("old",), ("new",))
    assert not comparison.is_equal


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (1.0, 1.0, 0.0),
        (1.0, 2.0, 0.5),
        (-1.0, 1.0, 2.0),
        (0.0, 3.0, 1.0),
        (math.inf, 1.0, math.inf),
    ],
)
def test_relative_differences(then: float, now: float, expected: float) -> None:
    assert find_relative(then, now) == expected


# --------------------------------------------------------------------------------- surroundings


def make_run(directory: Path, *, packages: str = "", **machine: object) -> RunDir:
    experiment = ExperimentDir(directory)
    run_dir = experiment.run("r")
    run_dir.path.mkdir(parents=True)
    experiment.provenance_dir.mkdir()
    write_json(experiment.provenance_dir / "provenance.json", {"python": "3.11.7"})
    (experiment.provenance_dir / "packages.txt").write_text(packages)
    write_status(run_dir, RunStatus(machine=machine))
    return run_dir


def test_equal_surroundings_have_no_changes(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, packages="a==1\n", device="cpu") for name in "xy"]
    assert compare_surroundings(*runs) == []


def test_machines_pythons_and_packages_are_compared(tmp_path: Path) -> None:
    then = make_run(tmp_path / "x", packages="torch==2.11\nB==1\n", device="H100", num_threads=4)
    now = make_run(tmp_path / "y", packages="torch==2.12\na==1\n", device="cpu", num_threads=4)
    write_json(now.experiment.provenance_dir / "provenance.json", {"python": "3.12.1"})
    assert compare_surroundings(then, now) == [
        Change("Python", "3.11.7", "3.12.1"),
        Change("device", "H100", "cpu"),
        Change("a", "none", "1"),
        Change("B", "1", "none"),
        Change("torch", "2.11", "2.12"),
    ]


def test_what_an_older_version_did_not_write_down_is_no_change(tmp_path: Path) -> None:
    then = make_run(tmp_path / "x", device="cpu")
    now = make_run(tmp_path / "y", device="cpu", instructions="AVX2", code="snapshot 12345678")
    (then.experiment.provenance_dir / "packages.txt").unlink()
    assert compare_surroundings(then, now) == []
