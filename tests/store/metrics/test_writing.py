"""Rows reach the disk in blocks, and a failure loses none that were acknowledged."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics import (
    MAX_BLOCK_ROWS,
    MetricsWriter,
    read_last,
    read_metrics,
)
from tests.store.metrics.rows import COLUMNS, as_bytes, make_row, make_rows, write_run


def test_undeclared_metrics_are_refused_and_nothing_is_added(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
        with pytest.raises(ValueError, match=r"not declared: los; .*loss, loss\.self_recon"):
            writer.append([make_row(1), make_row(2, los=1.0)])
        with pytest.raises(ValueError, match="no such split: 'test'; there are: train, validate"):
            writer.append([make_row(1, "test")])
    assert len(read_metrics(tmp_path)) == 0


def test_rows_reach_the_disk_in_blocks(tmp_path: Path) -> None:
    with MetricsWriter.start(
        tmp_path, attempt=1, columns=COLUMNS, resume_step=None, flush_rows=4, flush_seconds=1e9
    ) as writer:
        seen = []
        for epoch in range(1, 10):
            writer.append([make_row(epoch)])
            seen.append(len(read_metrics(tmp_path)))
    assert seen == [0, 0, 0, 4, 4, 4, 4, 8, 8]
    assert len(read_metrics(tmp_path)) == 9


def test_a_row_that_waited_long_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    writer = MetricsWriter.start(
        tmp_path, attempt=1, columns=COLUMNS, resume_step=None, flush_seconds=10
    )
    writer.append([make_row(1)])
    now[0] += 9
    writer.append([make_row(2)])
    assert len(read_metrics(tmp_path)) == 0
    now[0] += 1
    writer.append([make_row(3)])
    assert len(read_metrics(tmp_path)) == 3
    writer.append([make_row(4)])
    assert len(read_metrics(tmp_path)) == 3
    writer.close()


def test_flush_puts_all_rows_on_disk(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
        writer.append([make_row(1)])
        writer.flush()
        assert len(read_metrics(tmp_path)) == 1


def test_a_writer_closes_once_and_for_all(tmp_path: Path) -> None:
    writer = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    writer.append([make_row(1)])
    writer.close()
    writer.close()
    writer.flush()
    with pytest.raises(ValueError, match="closed"):
        writer.append([make_row(2)])
    assert len(read_metrics(tmp_path)) == 1


KILLED_WRITER = """
import sys
from pathlib import Path
from hpcexp.store.metrics import MetricsWriter
from tests.store.metrics.rows import COLUMNS, make_row

writer = MetricsWriter.start(
    Path(sys.argv[1]), attempt=1, columns=COLUMNS, resume_step=None, flush_rows=4
)
epoch = 0
while True:
    epoch += 1
    writer.append([make_row(epoch)])
    if epoch % 4 == 0:
        print(epoch, flush=True)
"""


@pytest.mark.parametrize("num_blocks", [1, 7, 40])
def test_a_killed_writer_loses_at_most_its_last_block(tmp_path: Path, num_blocks: int) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        assert process.stdout is not None
        for _ in range(num_blocks):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else 4 * num_blocks
    table = read_metrics(tmp_path)
    assert process.returncode == -signal.SIGKILL
    assert acknowledged <= len(table) <= acknowledged + 4
    write_run(tmp_path / "undisturbed", [make_row(e) for e in range(1, len(table) + 1)])
    assert as_bytes(table) == as_bytes(read_metrics(tmp_path / "undisturbed"))


def test_a_long_append_is_synced_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then is a bad row far from the end known to be no crash."""
    events: list[float | str] = []
    row_bytes = 4 * (6 + len(COLUMNS) + 1)
    pwrite, fsync = os.pwrite, os.fsync

    def spy_on_write(descriptor: int, content: bytes, offset: int) -> int:
        events.append(len(content) / row_bytes)
        return pwrite(descriptor, content, offset)

    def spy_on_sync(descriptor: int) -> None:
        events.append("sync")
        fsync(descriptor)

    writer = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    monkeypatch.setattr(os, "pwrite", spy_on_write)
    monkeypatch.setattr(os, "fsync", spy_on_sync)
    writer.append(make_rows(1, MAX_BLOCK_ROWS + 3))
    assert events == [MAX_BLOCK_ROWS, "sync", MAX_BLOCK_ROWS, "sync", 6, "sync"]
    writer.close()
    assert len(read_metrics(tmp_path)) == 2 * MAX_BLOCK_ROWS + 6


def test_a_full_disk_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite

    def fill_up(descriptor: int, content: bytes, offset: int) -> int:
        if len(content) < 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, content[: len(content) // 2], offset)

    writer = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    writer.append(make_rows(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fill_up)
        with pytest.raises(HpcexpError, match=r"metrics\.1\.bin: .*No space left.*resume"):
            writer.flush()
    writer.append(make_rows(3, 4))
    writer.close()
    write_run(tmp_path / "undisturbed", make_rows(1, 4))
    assert as_bytes(read_metrics(tmp_path)) == as_bytes(read_metrics(tmp_path / "undisturbed"))


def test_readers_see_whole_rows_in_order_while_a_writer_writes(tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        with MetricsWriter.start(
            tmp_path, attempt=1, columns=COLUMNS, resume_step=None, flush_rows=3
        ) as writer:
            for epoch in range(1, 401):
                writer.append([make_row(epoch)])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    lengths = [0]
    while not done.is_set():
        table = read_metrics(tmp_path)
        assert table.epoch.tolist() == list(range(1, len(table) + 1))
        last = read_last(tmp_path)
        assert not last or last["train"].epoch >= len(table)
        lengths.append(len(table))
    thread.join()
    assert lengths == sorted(lengths)
    assert len(read_metrics(tmp_path)) == 400
