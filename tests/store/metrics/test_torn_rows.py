"""A crash costs the last block at most; other damage is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics import (
    MAX_BLOCK_ROWS,
    metrics_path,
    read_metrics,
)
from tests.store.metrics.rows import COLUMNS, as_bytes, make_rows, write_run


@pytest.mark.parametrize("filling", [b"", b"\0"], ids=["cut off", "zeros"])
def test_a_block_torn_at_any_byte_leaves_the_rows_before_it(tmp_path: Path, filling: bytes) -> None:
    path = write_run(tmp_path, make_rows(1, 3))
    undisturbed = read_metrics(tmp_path)
    whole, row_bytes = path.read_bytes(), 4 * (6 + len(COLUMNS) + 1)
    lengths = set()
    for num_torn in range(1, 4 * row_bytes + 1):
        torn = whole[:-num_torn] + filling * num_torn
        path.write_bytes(torn)
        num_same = next(i for i in range(len(whole)) if torn[i : i + 1] != whole[i : i + 1])
        num_rows = 6 + (num_same - len(whole)) // row_bytes
        assert as_bytes(read_metrics(tmp_path)) == as_bytes(undisturbed.select(slice(num_rows)))
        lengths.add(num_rows)
    assert lengths == {2, 3, 4, 5}


def test_a_page_that_arrives_before_the_one_in_front_of_it_is_ignored(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_rows(1, 20))
    content = bytearray(path.read_bytes())
    content[-800:-400] = bytes(400)
    path.write_bytes(content)
    assert len(read_metrics(tmp_path)) == 40 - 20


def test_the_next_attempt_repairs_a_torn_tail(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", make_rows(1, 3))
    path.write_bytes(path.read_bytes()[:-5])
    write_run(tmp_path / "run", make_rows(3, 4), attempt=2, resume_step=16)
    write_run(tmp_path / "undisturbed", make_rows(1, 4))
    assert metrics_path(tmp_path / "run", attempt=2).read_bytes() == (
        metrics_path(tmp_path / "undisturbed", attempt=1).read_bytes()
    )


def test_damage_that_no_crash_explains_is_an_error(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_rows(1, MAX_BLOCK_ROWS))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(HpcexpError, match=r"metrics\.1\.bin: damaged row, \d+ rows before the end"):
        read_metrics(tmp_path)


def test_any_single_flipped_bit_of_a_row_is_noticed(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_rows(1, 1))
    whole = path.read_bytes()
    row_bytes = 4 * (6 + len(COLUMNS) + 1)
    for bit in range(8 * row_bytes):
        content = bytearray(whole)
        content[len(whole) - row_bytes + bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        assert len(read_metrics(tmp_path)) == 1
