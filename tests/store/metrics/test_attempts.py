"""One file per attempt: rows of one are never mixed with another's."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.errors import StorageError, SupersededError
from hpcexp.store.metrics import (
    MetricsRow,
    MetricsWriter,
    disk,
    files,
    metrics_path,
    read_metrics,
    writing,
)
from tests.store.metrics.rows import COLUMNS, as_bytes, make_row, make_rows, write_run


@given(stops=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_chain_of_attempts_equals_an_undisturbed_run(
    tmp_path_factory: pytest.TempPathFactory, stops: list[tuple[int, int]]
) -> None:
    """Each attempt runs on for some epochs, and loses some of them with its checkpoint."""
    root = tmp_path_factory.mktemp("runs")
    begun, attempt = 0, 0
    for num_epochs, num_lost in stops:
        attempt += 1
        last = begun + num_epochs
        write_run(root / "run", make_rows(begun + 1, last), attempt=attempt, resume_step=8 * begun)
        begun = max(0, last - num_lost)
    write_run(root / "run", make_rows(begun + 1, 40), attempt=attempt + 1, resume_step=8 * begun)
    write_run(root / "undisturbed", make_rows(1, 40))
    assert as_bytes(read_metrics(root / "run")) == as_bytes(read_metrics(root / "undisturbed"))


def test_starting_from_scratch_drops_older_rows(tmp_path: Path) -> None:
    write_run(tmp_path, make_rows(1, 3))
    write_run(tmp_path, make_rows(1, 1), attempt=2, resume_step=None)
    assert read_metrics(tmp_path).epoch.tolist() == [1, 1]


def test_only_the_newest_attempt_leaves_a_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.1.bin.tmp").write_bytes(b"an attempt that died while starting")
    for attempt in (1, 2, 10):
        write_run(tmp_path, make_rows(1, 1), attempt=attempt, resume_step=8)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.10.bin"]


def test_readers_take_the_highest_attempt_as_a_number(tmp_path: Path) -> None:
    nine = write_run(tmp_path, make_rows(1, 9), attempt=9)
    kept = nine.read_bytes()
    write_run(tmp_path, make_rows(1, 1), attempt=10)
    nine.write_bytes(kept)
    (tmp_path / "metrics.11.bin.tmp").write_bytes(b"not yet in place")
    assert len(read_metrics(tmp_path)) == 2


def test_a_superseded_writer_writes_to_its_dead_file_only(tmp_path: Path) -> None:
    old = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    old.append(make_rows(1, 4))
    old.flush()
    new = MetricsWriter.start(tmp_path, attempt=2, columns=COLUMNS, resume_step=16)
    old.append(make_rows(50, 60))
    old.close()
    new.append(make_rows(3, 5))
    new.close()
    write_run(tmp_path / "undisturbed", make_rows(1, 5))
    assert as_bytes(read_metrics(tmp_path)) == as_bytes(read_metrics(tmp_path / "undisturbed"))
    assert [path.name for path in tmp_path.glob("metrics*")] == ["metrics.2.bin"]


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_attempt_that_is_not_the_newest_cannot_start(tmp_path: Path, attempt: int) -> None:
    write_run(tmp_path, make_rows(1, 2), attempt=2)
    with pytest.raises(SupersededError, match="attempt 2 has begun"):
        write_run(tmp_path, make_rows(1, 1), attempt=attempt)
    assert len(read_metrics(tmp_path)) == 4


def test_an_attempt_that_is_overtaken_while_it_starts_gives_up(tmp_path: Path) -> None:
    calls: list[None] = []

    def overtake_before_the_rename() -> None:
        calls.append(None)
        if len(calls) == 2:
            write_run(tmp_path, make_rows(1, 2), attempt=2)

    with pytest.raises(SupersededError):
        MetricsWriter.start(
            tmp_path,
            attempt=1,
            columns=COLUMNS,
            resume_step=None,
            check=overtake_before_the_rename,
        )
    assert len(read_metrics(tmp_path)) == 4


def test_an_attempt_that_was_overtaken_before_it_wrote_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place = disk.put_in_place

    def pause_then_put(path: Path, content: bytes, *, check: Callable[[], None]) -> int:
        monkeypatch.setattr(writing, "put_in_place", put_in_place)
        write_run(tmp_path, make_rows(1, 2), attempt=2)
        return put_in_place(path, content, check=check)

    monkeypatch.setattr(writing, "put_in_place", pause_then_put)
    with pytest.raises(SupersededError, match="attempt 2 has begun"):
        write_run(tmp_path, make_rows(1, 1), attempt=1)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.2.bin"]


class Ownership:
    """A check that fails once the run is lost."""

    def __init__(self) -> None:
        self.lost = False

    def check(self) -> None:
        if self.lost:
            raise SupersededError("attempt 1 was superseded")


def test_nothing_is_written_once_the_run_is_lost(tmp_path: Path) -> None:
    ownership = Ownership()

    def train() -> None:
        with MetricsWriter.start(
            tmp_path, attempt=1, columns=COLUMNS, resume_step=None, check=ownership.check
        ) as writer:
            writer.append([make_row(1)])
            writer.flush()
            ownership.lost = True
            writer.append([make_row(2)])
            writer.flush()

    with pytest.raises(SupersededError, match="attempt 1 was superseded"):
        train()
    assert len(read_metrics(tmp_path)) == 1


def test_rows_that_wait_are_dropped_where_another_write_found_the_run_lost(tmp_path: Path) -> None:
    def train() -> None:
        with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
            writer.append([make_row(1)])
            raise SupersededError("status.json: attempt 1 was superseded")

    with pytest.raises(SupersededError, match=r"status\.json"):
        train()
    assert len(read_metrics(tmp_path)) == 0


def test_a_lost_run_is_not_started(tmp_path: Path) -> None:
    ownership = Ownership()
    ownership.lost = True
    with pytest.raises(SupersededError):
        MetricsWriter.start(
            tmp_path, attempt=1, columns=COLUMNS, resume_step=None, check=ownership.check
        )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stale_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MetricsWriter:
    """A writer with a row that waits, whose descriptor a network file system has given up."""
    writer = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    writer.append([make_row(1)])
    stale, pwrite = writer._descriptor, os.pwrite

    def write_unless_stale(descriptor: int, content: bytes, offset: int) -> int:
        if descriptor == stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return pwrite(descriptor, content, offset)

    # Only NFS has such descriptors; the new one must have another number than the old one.
    monkeypatch.setattr(os, "pwrite", write_unless_stale)
    return writer


def test_a_file_that_the_server_let_go_of_is_opened_again_and_loses_no_row(
    tmp_path: Path, stale_writer: MetricsWriter
) -> None:
    with pytest.raises(StorageError, match=r"metrics\.1\.bin: .*Stale file handle"):
        stale_writer.flush()
    stale_writer.close()
    assert read_metrics(tmp_path).epoch.tolist() == [1]


def test_a_file_deleted_on_the_server_by_a_newer_attempt_means_superseded(
    tmp_path: Path, stale_writer: MetricsWriter
) -> None:
    write_run(tmp_path, make_rows(1, 1), attempt=2)
    with pytest.raises(SupersededError, match="attempt 2 has begun"):
        stale_writer.flush()
    stale_writer.abandon()


def test_a_start_that_the_disk_refused_leaves_nothing_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, make_rows(1, 3))

    def refuse(directory: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "_sync_directory", refuse)  # the last thing that can go wrong
        with pytest.raises(StorageError, match=r"metrics\.2\.bin: .*Input/output error"):
            write_run(tmp_path, make_rows(3, 4), attempt=2, resume_step=16)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.1.bin"]
    write_run(tmp_path, make_rows(3, 4), attempt=2, resume_step=16)
    assert read_metrics(tmp_path).epoch.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


def test_a_failure_in_training_still_saves_the_rows(tmp_path: Path) -> None:
    def train() -> None:
        with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
            writer.append([make_row(1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert len(read_metrics(tmp_path)) == 1


def test_an_attempt_may_declare_other_columns_than_the_one_before(tmp_path: Path) -> None:
    write_run(tmp_path, make_rows(1, 1))
    row = MetricsRow(epoch=2, step=16, split="train", time=0.0, values={"new": 5.0, "loss": 6.0})
    write_run(tmp_path, [row], columns=("new", "loss"), attempt=2, resume_step=8)
    table = read_metrics(tmp_path)
    assert table.columns == ("new", "loss", "loss.self_recon", "grad_norm")
    assert table.column("loss").tolist() == [0.5, 0.5, 6.0]
    assert np.isnan(table.column("new")).tolist() == [True, True, False]
    assert table.column("grad_norm")[0] == 1


def test_a_reader_follows_when_a_new_attempt_replaces_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, make_rows(1, 2))
    find_files = files.find_files
    pending = [lambda: write_run(tmp_path, make_rows(2, 2), attempt=2, resume_step=8)]

    def find_then_replace(run_dir: Path) -> dict[int, Path]:
        found = find_files(run_dir)
        if pending:
            pending.pop()()
        return found

    monkeypatch.setattr(files, "find_files", find_then_replace)
    assert len(read_metrics(tmp_path)) == 4
    assert not metrics_path(tmp_path, attempt=1).exists()
