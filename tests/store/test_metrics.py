"""One file per attempt: rows are never lost, never torn, never mixed with another attempt's."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.errors import HpcexpError, SupersededError
from hpcexp.store import metrics
from hpcexp.store.metrics import (
    MAX_BLOCK_ROWS,
    SPLITS,
    MetricsRow,
    MetricsTable,
    MetricsWriter,
    concatenate,
    metrics_path,
    read_concatenated,
    read_last,
    read_many,
    read_metrics,
)

COLUMNS = ("loss", "loss.self_recon", "grad_norm")


def make_row(epoch: int, split: str = "train", **values: float) -> MetricsRow:
    """A row that is a pure function of its epoch, with 8 steps in an epoch."""
    known = {"loss": 1 / (epoch + 1), "loss.self_recon": epoch * 0.1, **values}
    if split == "train":
        known.setdefault("grad_norm", float(epoch))
    return MetricsRow(
        epoch=epoch, step=8 * epoch, split=split, time=1.7e9 + epoch / 3, values=known
    )


def make_rows(first: int, last: int) -> list[MetricsRow]:
    """Both splits of the epochs `first` to `last`, both included."""
    return [make_row(epoch, split) for epoch in range(first, last + 1) for split in SPLITS]


def write_run(
    run_dir: Path,
    rows: list[MetricsRow],
    *,
    columns: tuple[str, ...] = COLUMNS,
    attempt: int = 1,
    resume_step: int | None = None,
) -> Path:
    run_dir.mkdir(exist_ok=True)
    with MetricsWriter.start(
        run_dir, attempt=attempt, columns=columns, resume_step=resume_step
    ) as writer:
        writer.append(rows)
    return writer.path


def as_bytes(table: MetricsTable) -> tuple[object, ...]:
    """All that a table says, so that equal means equal in every bit, NaN included."""
    arrays = (table.epoch, table.step, table.split, table.time, table.values)
    return (table.columns, *((array.dtype.str, array.shape, array.tobytes()) for array in arrays))


# ---------------------------------------------------------------------- what is kept


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_run(tmp_path, [make_row(3), make_row(3, "validate")])
    table = read_metrics(tmp_path)
    assert table.columns == COLUMNS
    assert table.epoch.tolist() == [3, 3]
    assert table.step.tolist() == [24, 24]
    assert [SPLITS[code] for code in table.split] == ["train", "validate"]
    assert table.time.tolist() == [1.7e9 + 1, 1.7e9 + 1]
    assert table.column("loss").tolist() == [0.25, 0.25]
    assert table.column("grad_norm")[0] == 3
    assert np.isnan(table.column("grad_norm")[1])


def test_the_arrays_have_the_documented_types(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "run", make_rows(1, 2))
    for table in read_many([tmp_path / "run", tmp_path / "empty"]):
        assert table.epoch.dtype == np.int32
        assert table.step.dtype == np.int64
        assert table.split.dtype == np.uint8
        assert table.time.dtype == np.float64
        assert table.values.dtype == np.float32


EXTREMES = [
    0x00000000,  # 0
    0x80000000,  # -0
    0x00000001,  # the smallest denormal
    0x807FFFFF,  # the largest negative denormal
    0x7F7FFFFF,  # the largest number
    0x7F800000,  # inf
    0xFF800000,  # -inf
    0x7FC00000,  # NaN
    0xFFC00001,  # NaN with a sign and a payload
]


@given(bits=st.lists(st.integers(0, 2**32 - 1) | st.sampled_from(EXTREMES), min_size=1))
@settings(max_examples=50, deadline=None)
def test_every_float32_round_trips_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, bits: list[int]
) -> None:
    # The processor turns a signalling NaN into a quiet one on its way through float64.
    quiet = [b | 0x00400000 if np.isnan(np.uint32(b).view(np.float32)) else b for b in bits]
    numbers = np.array(quiet, np.uint32).view(np.float32).astype(np.float64).tolist()
    run_dir = tmp_path_factory.mktemp("run")
    write_run(run_dir, [make_row(i, loss=number) for i, number in enumerate(numbers)])
    assert read_metrics(run_dir).column("loss").view(np.uint32).tolist() == quiet


def test_a_loss_beyond_float32_is_infinite(tmp_path: Path) -> None:
    write_run(tmp_path, [make_row(1, loss=1e300), make_row(2, loss=-1e300)])
    assert read_metrics(tmp_path).column("loss").tolist() == [np.inf, -np.inf]


def test_large_steps_and_negative_times_are_exact(tmp_path: Path) -> None:
    row = MetricsRow(epoch=2**31 - 1, step=2**62 + 1, split="train", time=-0.1, values={})
    write_run(tmp_path, [row])
    table = read_metrics(tmp_path)
    assert (table.epoch[0], table.step[0], table.time[0]) == (2**31 - 1, 2**62 + 1, -0.1)


@pytest.mark.parametrize(
    "columns",
    [
        ("loss.predict.image", "a/b", "Verlust µ ✓", 'quote" and \\', "line\nbreak", " "),
        tuple(f"metric_{i}" for i in range(3000)),
        (),
    ],
    ids=["odd names", "many", "none"],
)
def test_columns_may_have_any_name_and_number(tmp_path: Path, columns: tuple[str, ...]) -> None:
    values = {name: float(index) for index, name in enumerate(columns)}
    row = MetricsRow(epoch=1, step=2, split="validate", time=3.0, values=values)
    write_run(tmp_path, [row], columns=columns)
    assert read_metrics(tmp_path).row(0) == row


@pytest.mark.parametrize(
    "columns",
    [("loss", "loss"), ("",), ("epoch",), ("row_check",)],
    ids=["twice", "empty", "fixed field", "checksum field"],
)
def test_columns_that_cannot_be_are_refused(tmp_path: Path, columns: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cannot have these names"):
        write_run(tmp_path, [], columns=columns)
    assert list(tmp_path.iterdir()) == []


def test_undeclared_metrics_are_refused_and_nothing_is_added(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None) as writer:
        with pytest.raises(ValueError, match=r"not declared: los; .*loss, loss\.self_recon"):
            writer.append([make_row(1), make_row(2, los=1.0)])
        with pytest.raises(ValueError, match="no such split: 'test'; there are: train, validate"):
            writer.append([make_row(1, "test")])
    assert len(read_metrics(tmp_path)) == 0


def test_a_person_can_read_the_file_with_numpy_alone(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_rows(1, 5))
    with path.open("rb") as file:
        header = (file.readline(), json.loads(file.readline()))[1]
        rows = np.fromfile(file, dtype=[tuple(field) for field in header["fields"]])
    assert rows["epoch"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert rows["loss.self_recon"].tobytes() == read_metrics(tmp_path).values[:, 1].tobytes()
    assert [header["splits"][code] for code in rows["split"][:2]] == ["train", "validate"]


def test_a_file_of_format_1_is_read_forever(tmp_path: Path) -> None:
    """Bytes of the first version, spelled out: changing the format must not break them."""
    fields = '[["time","<f8"],["step","<i8"],["epoch","<i4"],["split","<u4"],["a","<f4"]'
    content = f'{{"fields":{fields},["row_check","<u4"]],"splits":["train","validate"]}}\n'
    title = "hpcexp-metrics 1 48e6b5ae\n"
    row = "000000000000f83f 0700000000000000 02000000 01000000 0000003e 3358a723"
    metrics_path(tmp_path, attempt=1).write_bytes((title + content).encode() + bytes.fromhex(row))
    expected = MetricsRow(epoch=2, step=7, split="validate", time=1.5, values={"a": 0.125})
    assert read_metrics(tmp_path).row(0) == expected


# ------------------------------------------------------------------ blocks and crashes


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
from tests.store.test_metrics import COLUMNS, make_row

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
    root = Path(__file__).parents[2]
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


# ---------------------------------------------------------------------------- attempts


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
    put_in_place = metrics._put_in_place

    def pause_then_put(path: Path, content: bytes, *, check: Callable[[], None]) -> int:
        monkeypatch.setattr(metrics, "_put_in_place", put_in_place)
        write_run(tmp_path, make_rows(1, 2), attempt=2)
        return put_in_place(path, content, check=check)

    monkeypatch.setattr(metrics, "_put_in_place", pause_then_put)
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


def test_a_file_deleted_on_the_server_means_superseded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_as_nfs_does(*_: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    writer = MetricsWriter.start(tmp_path, attempt=1, columns=COLUMNS, resume_step=None)
    writer.append([make_row(1)])
    monkeypatch.setattr(os, "pwrite", fail_as_nfs_does)
    with pytest.raises(SupersededError, match="a newer attempt owns the run"):
        writer.flush()
    writer.abandon()


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


# ----------------------------------------------------------------------------- readers


def test_a_run_without_a_file_has_no_rows(tmp_path: Path) -> None:
    table = read_metrics(tmp_path)
    assert (len(table), table.columns, table.values.shape) == (0, (), (0, 0))
    assert read_last(tmp_path) == {}


def test_a_missing_run_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HpcexpError, match="nowhere: cannot list the run directory: No such file"):
        read_metrics(tmp_path / "nowhere")


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    metrics_path(tmp_path, attempt=1).write_bytes(b"hpcexp-metrics 12 something else\n\0\1")
    for read in (read_metrics, read_last):
        with pytest.raises(HpcexpError, match=r"metrics\.1\.bin: metrics format 12.*up to 1"):
            read(tmp_path)


def test_any_changed_byte_of_the_header_is_noticed(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_rows(1, 1))
    whole = path.read_bytes()
    num_header = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for position in range(num_header):
        content = bytearray(whole)
        content[position] ^= 0x15
        path.write_bytes(content)
        with pytest.raises(HpcexpError, match=r"damaged header|metrics format"):
            read_metrics(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\n\n", b"hpcexp-metrics 1\n", b"a b"])
def test_a_file_of_something_else_is_an_error(tmp_path: Path, content: bytes) -> None:
    metrics_path(tmp_path, attempt=1).write_bytes(content)
    with pytest.raises(HpcexpError, match="damaged header"):
        read_metrics(tmp_path)


def test_a_reader_follows_when_a_new_attempt_replaces_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, make_rows(1, 2))
    find_files = metrics._find_files
    pending = [lambda: write_run(tmp_path, make_rows(2, 2), attempt=2, resume_step=8)]

    def find_then_replace(run_dir: Path) -> dict[int, Path]:
        found = find_files(run_dir)
        if pending:
            pending.pop()()
        return found

    monkeypatch.setattr(metrics, "_find_files", find_then_replace)
    assert len(read_metrics(tmp_path)) == 4
    assert not metrics_path(tmp_path, attempt=1).exists()


def test_the_last_row_of_each_split_needs_no_whole_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, make_rows(1, 2000))
    monkeypatch.setattr(metrics, "_read_table", None)
    firsts: list[int] = []
    read_words = metrics._read_words

    def spy(file: object, layout: object, *, first: int) -> object:
        firsts.append(first)
        return read_words(file, layout, first=first)  # type: ignore[arg-type]

    monkeypatch.setattr(metrics, "_read_words", spy)
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


# ------------------------------------------------------------------------ many at once


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
    measure = metrics._measure

    def measure_then_change(run_dir: Path) -> object:
        size = measure(run_dir)
        if run_dir.name == "a":
            write_run(run_dir, make_rows(4, 5), columns=columns, attempt=2, resume_step=24)
        return size

    monkeypatch.setattr(metrics, "_measure", measure_then_change)
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


def test_an_unknown_metric_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    write_run(tmp_path, make_rows(1, 1))
    with pytest.raises(KeyError, match=r"no metric 'los'; there are: loss, loss\.self_recon"):
        read_metrics(tmp_path).column("los")
