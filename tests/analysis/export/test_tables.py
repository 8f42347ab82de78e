"""CSV and Parquet files hold what the frames hold."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from hpcexp.analysis import Results
from hpcexp.analysis.export.tables import make_plain
from hpcexp.analysis.export.write import write_export
from tests.analysis.builder import MSE


def test_csv_is_read_back_with_every_row_and_value(results: Results, tmp_path: Path) -> None:
    path = write_export(results, "csv", directory=tmp_path)
    runs, metrics = pd.read_csv(path / "runs.csv"), pd.read_csv(path / "metrics.csv")
    assert list(runs.columns) == list(results.runs.columns)
    assert runs[f"final.{MSE}"].tolist() == [0.25, float("inf")]
    assert [json.loads(text) for text in runs["params.vae_channels"]] == [[2], [4, 8]]
    assert len(metrics) == len(results.metrics)
    pd.testing.assert_series_equal(
        metrics[MSE].astype("float32"), results.metrics[MSE], check_exact=False, rtol=1e-6
    )


def test_parquet_keeps_the_types(results: Results, tmp_path: Path) -> None:
    path = write_export(results, "parquet", directory=tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(path / "metrics.parquet"), results.metrics)
    runs = pd.read_parquet(path / "runs.parquet")
    pd.testing.assert_frame_equal(runs, make_plain(results.runs))
    assert runs["group"].cat.ordered
    assert runs["success"].dtype == "boolean"


def test_what_is_mixed_becomes_text() -> None:
    frame = pd.DataFrame({"a": pd.Series([(1, ("x",)), None, "s", 3], dtype=object)})
    plain = make_plain(frame)["a"]
    assert plain.dropna().tolist() == ['[1, ["x"]]', "s", "3"]
    assert plain.isna().tolist() == [False, True, False, False]
