from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hpcexp.analysis.figures import csv_text
from hpcexp.analysis.figures.csv_text import write_csv

ODD = {
    "text": ["a", 'say "b"', "c, d", "two\nlines", "Länge 長さ", ""],
    "missing_text": ["a", None, "b", None, "a", "NaN"],
    "number": [0.1, 1e-300, math.inf, -math.inf, math.nan, -0.0],
    "whole": [1, -2, 3, 10**15, 5, 0],
    "float32": np.array([0.1, 1e-30, np.inf, np.nan, 3, 1e20], np.float32),
    "truth": [True, False, True, True, False, True],
    "perhaps": pd.array([True, None, False, True, None, True], dtype="boolean"),
    "count": pd.array([1, None, 3, 1, None, 2], dtype="Int64"),
    "tuple": [(1, 2), (3,), (1, 2), (), ("x",), (1, 2)],
    "mixed": [1, "1", 2.5, None, True, "x"],
    "category": pd.Categorical(["x", "y", None, "x", "y", "x"], categories=["y", "x"]),
}


@pytest.mark.parametrize("name", ODD)
def test_a_column_is_spelled_as_pandas_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_text, "_MIN_ROWS", 1)
    table = pd.DataFrame({name: ODD[name], "end": range(6)})
    assert write_csv(table) == table.to_csv(index=False)


def test_a_large_table_is_the_one_of_pandas() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "run": [f"lr=0.1,b={i % 7}_rand_{i % 3}" for i in range(3000)],
            "lr, rate": random.choice([1e-4, 3e-4], size=3000),
            "value": random.lognormal(size=3000) * 10.0 ** random.integers(-12, 12, size=3000),
        }
    )
    assert write_csv(table) == table.to_csv(index=False)
