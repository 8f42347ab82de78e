"""The frames as CSV and Parquet files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hpcexp.analysis.frames import Results


def write_csv(results: Results, directory: Path) -> None:
    """`runs.csv` and `metrics.csv`; infinite values are `inf`, missing ones are empty."""
    make_plain(results.runs).to_csv(directory / "runs.csv", index=False)
    results.metrics.to_csv(directory / "metrics.csv", index=False)


def write_parquet(results: Results, directory: Path) -> None:
    """`runs.parquet` and `metrics.parquet`, with the dtypes of the frames."""
    make_plain(results.runs).to_parquet(directory / "runs.parquet", index=False)
    results.metrics.to_parquet(directory / "metrics.parquet", index=False)


def make_plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of numbers, truth values and text: lists, and what is mixed, become JSON text."""
    changed = {
        str(name): pd.Series([_spell(value) for value in column], index=frame.index, dtype="str")
        for name, column in frame.items()
        if column.dtype == object
    }
    return frame.assign(**changed)


def _spell(value: Any) -> str | None:
    if value is None or value is pd.NA:
        return None
    return value if isinstance(value, str) else json.dumps(_thaw(value))


def _thaw(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_thaw(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _thaw(item) for key, item in value.items()}
    return value
