"""Reading many runs gives what reading each gives, joined."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics import (
    MetricsRow,
    concatenate,
    metrics_path,
    read_concatenated,
    read_many,
    reading,
)
from tests.store.metrics.rows import COLUMNS, as_bytes, make_row, make_rows, write_run


def write_three_runs(root: Path) -> list[Path]:
    write_run(root / "a", make_rows(1, 3))
    (root / "pending").mkdir()
    write_run(root / "b", [make_row(7, "validate")])
    row = MetricsRow(epoch=1, step=1, split="train", time=0.0, values={"other": 9.0, "loss": 8.0})
    write_run(root / "c", [row], columns=("other", "loss"))
    return [root / "a", root / "pending", root / "b", root / "c"]


@pytest.mark.parametrize("together", [False, True])
def test_runs_are_joined_over_the_union_of_their_columns(tmp_path: Path, together: bool) -> None:
    run_dirs = write_three_runs(tmp_path)
    whole, run_index = read_concatenated(run_dirs) if together else concatenate(read_many(run_dirs))
    assert whole.columns == (*COLUMNS, "other")
    assert run_index.tolist() == [0] * 6 + [2, 3]
    assert run_index.dtype == np.int32
    assert whole.epoch.tolist() == [1, 1, 2, 2, 3, 3, 7, 1]
    assert whole.step.tolist()[-2:] == [56, 1]
    assert whole.split.tolist() == [0, 1] * 3 + [1, 0]
    assert whole.time.tolist()[-2:] == [1.7e9 + 7 / 3, 0.0]
    assert whole.column("loss").tolist()[-2:] == [0.125, 8.0]
    assert np.isnan(whole.column("other")).tolist() == [True] * 7 + [False]
    assert np.isnan(whole.values[-1]).tolist() == [False, True, True, False]
    assert whole.values.flags.f_contiguous


@pytest.mark.parametrize("together", [False, True])
def test_no_runs_give_an_empty_table(together: bool) -> None:
    whole, run_index = read_concatenated([]) if together else concatenate(read_many([]))
    assert (len(whole), whole.columns, len(run_index)) == (0, (), 0)


def test_reading_together_equals_reading_apart(tmp_path: Path) -> None:
    run_dirs = [*write_three_runs(tmp_path), tmp_path / "a"]
    torn = metrics_path(tmp_path / "a", attempt=1)
    torn.write_bytes(torn.read_bytes()[:-50])
    whole, run_index = concatenate(read_many(run_dirs))
    together, run_index_together = read_concatenated(run_dirs)
    assert as_bytes(together) == as_bytes(whole)
    assert run_index_together.tolist() == run_index.tolist()


def test_a_torn_tail_leaves_no_hole_among_the_runs(tmp_path: Path) -> None:
    run_dirs = write_three_runs(tmp_path)
    path = metrics_path(tmp_path / "a", attempt=1)
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    whole, run_index = read_concatenated(run_dirs)
    assert run_index.tolist() == [0] * 5 + [2, 3]
    assert whole.epoch.tolist() == [1, 1, 2, 2, 3, 7, 1]


@pytest.mark.parametrize("columns", [COLUMNS, (*COLUMNS, "new")], ids=["longer", "new columns"])
def test_runs_that_change_between_the_two_passes_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    run_dirs = write_three_runs(tmp_path)
    measure = reading._measure

    def measure_then_change(run_dir: Path) -> object:
        size = measure(run_dir)
        if run_dir.name == "a":
            write_run(run_dir, make_rows(4, 5), columns=columns, attempt=2, resume_step=24)
        return size

    monkeypatch.setattr(reading, "_measure", measure_then_change)
    whole, run_index = read_concatenated(run_dirs)
    num_a = 6 if columns == COLUMNS else 10  # rows that came later are for the next reader
    assert run_index.tolist() == [0] * num_a + [2, 3]
    assert whole.epoch.tolist() == [*[1, 1, 2, 2, 3, 3, 4, 4, 5, 5][:num_a], 7, 1]


@pytest.mark.parametrize("read", [read_many, read_concatenated])
def test_all_unreadable_runs_are_named_together(
    tmp_path: Path, read: Callable[[list[Path]], object]
) -> None:
    run_dirs = write_three_runs(tmp_path)
    metrics_path(tmp_path / "a", attempt=1).write_bytes(b"rubbish")
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(HpcexpError) as caught:
        read(run_dirs)
    message = str(caught.value)
    assert message.startswith("the metrics of 2 of 4 runs cannot be read:\n")
    assert str(tmp_path / "a" / "metrics.1.bin") in message
    assert str(tmp_path / "b") in message
