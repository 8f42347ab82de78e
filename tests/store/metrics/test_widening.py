"""Columns that become known while a run trains."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hpcexp.store.metrics import MetricsRow, MetricsWriter, read_metrics


def test_rows_from_before_a_column_have_no_value_of_it(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=(), resume_step=None) as writer:
        writer.widen(["loss"])
        writer.append([MetricsRow(1, 1, "train", 0.0, {"loss": 0.5})])
        writer.widen(["loss", "error"])
        writer.append([MetricsRow(2, 2, "train", 0.0, {"loss": 0.25, "error": 1.0})])
    table = read_metrics(tmp_path)
    assert table.columns == ("loss", "error")
    assert table.column("loss").tolist() == [0.5, 0.25]
    before, after = table.column("error").tolist()
    assert math.isnan(before)
    assert after == 1.0


def test_a_column_that_cannot_be_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with MetricsWriter.start(tmp_path, attempt=1, columns=["loss"], resume_step=None) as writer:
        with pytest.raises(ValueError, match="metrics cannot have these names"):
            writer.widen([""])
        writer.append([MetricsRow(1, 1, "train", 0.0, {"loss": 0.5})])
    assert read_metrics(tmp_path).columns == ("loss",)
