"""Reading one run, or the last rows of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics import (
    MAX_BLOCK_ROWS,
    SPLITS,
    read_last,
    read_metrics,
    reading,
)
from tests.store.metrics.rows import make_row, make_rows, write_run


def test_a_run_without_a_file_has_no_rows(tmp_path: Path) -> None:
    table = read_metrics(tmp_path)
    assert (len(table), table.columns, table.values.shape) == (0, (), (0, 0))
    assert read_last(tmp_path) == {}


def test_a_missing_run_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HpcexpError, match="nowhere: cannot list the run directory: No such file"):
        read_metrics(tmp_path / "nowhere")


def test_the_last_row_of_each_split_needs_no_whole_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, make_rows(1, 2000))
    monkeypatch.setattr(reading, "_read_table", None)
    firsts: list[int] = []
    read_words = reading._read_words

    def spy(file: object, layout: object, *, first: int) -> object:
        firsts.append(first)
        return read_words(file, layout, first=first)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_read_words", spy)
    last = read_last(tmp_path)
    assert {split: row.epoch for split, row in last.items()} == {"train": 2000, "validate": 2000}
    assert last["train"].values["grad_norm"] == 2000
    assert firsts == [4000 - 2 * MAX_BLOCK_ROWS]


@given(splits=st.lists(st.sampled_from(SPLITS), max_size=30), num_more=st.sampled_from([0, 1500]))
@settings(max_examples=30, deadline=None)
def test_the_last_rows_are_those_of_the_whole_table(
    tmp_path_factory: pytest.TempPathFactory, splits: list[str], num_more: int
) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    order = [*splits, *["train"] * num_more]
    write_run(run_dir, [make_row(i, split) for i, split in enumerate(order)])
    expected = {split: max(i for i, s in enumerate(order) if s == split) for split in set(order)}
    assert {split: row.epoch for split, row in read_last(run_dir).items()} == expected


def test_last_rows_leave_a_torn_tail_out(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_rows(1, 3))
    path.write_bytes(path.read_bytes()[:-1])
    assert {s: row.epoch for s, row in read_last(tmp_path).items()} == {"train": 3, "validate": 2}
