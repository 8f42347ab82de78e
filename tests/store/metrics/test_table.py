"""Columns of a table by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.store.metrics import (
    read_metrics,
)
from tests.store.metrics.rows import make_rows, write_run


def test_an_unknown_metric_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    write_run(tmp_path, make_rows(1, 1))
    with pytest.raises(KeyError, match=r"no metric 'los'; there are: loss, loss\.self_recon"):
        read_metrics(tmp_path).column("los")
