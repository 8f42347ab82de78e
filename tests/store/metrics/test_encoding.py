"""What a row says comes back bit for bit, from any file that hpcexp ever wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.errors import HpcexpError
from hpcexp.store.metrics import (
    SPLITS,
    MetricsRow,
    metrics_path,
    read_last,
    read_many,
    read_metrics,
)
from tests.store.metrics.rows import COLUMNS, make_row, make_rows, write_run


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
