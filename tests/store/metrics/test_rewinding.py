"""Rows of steps that a run has gone back from leave its table."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics import MetricsWriter, read_metrics
from tests.store.metrics.rows import COLUMNS, make_row


def list_epochs(run_dir: Path) -> list[int]:
    epochs: list[int] = read_metrics(run_dir).epoch.tolist()
    return epochs


def test_rows_after_a_step_are_dropped_and_new_ones_follow(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
        writer.append([make_row(epoch) for epoch in (1, 2, 3)])
        writer.flush()
        writer.append([make_row(4)])  # waits
        writer.rewind(step=make_row(2).step)
        assert list_epochs(tmp_path) == [1, 2]
        writer.append([make_row(3), make_row(4), make_row(5)])
    assert list_epochs(tmp_path) == [1, 2, 3, 4, 5]


def test_a_reader_that_has_the_file_open_reads_it_to_its_end(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
        writer.append([make_row(epoch) for epoch in (1, 2, 3)])
        writer.flush()
        with writer.path.open("rb") as file:
            size = writer.path.stat().st_size
            writer.rewind(step=0)
            writer.append([make_row(9)])
            writer.flush()
            assert len(file.read()) == size
    assert list_epochs(tmp_path) == [9]


def test_a_full_disk_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    writer.append([make_row(epoch) for epoch in (1, 2, 3)])
    writer.flush()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        with pytest.raises(HpcexpError, match="free some space"):
            writer.rewind(step=0)
    assert list_epochs(tmp_path) == [1, 2, 3]
    writer.append([make_row(4)])
    writer.close()
    assert list_epochs(tmp_path) == [1, 2, 3, 4]


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
