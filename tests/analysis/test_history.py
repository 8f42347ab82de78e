"""Histories of runs with none, one and many metrics."""

from __future__ import annotations

import numpy as np
import pytest

from hpcexp.analysis.history import make_history
from hpcexp.errors import UsageError
from hpcexp.store.metrics import MetricsTable
from hpcexp.worker.inspection.curves import draw_curves, render_curves

CORE = ("loss", "loss.a", "weighted.a", "grad_norm", "schedule.lr")


def make_table(*metrics: str, epochs: int = 4) -> MetricsTable:
    """Train and validate rows in turn; training has no metrics."""
    columns, num_rows = (*CORE, *metrics), 2 * epochs
    split = np.arange(num_rows, dtype=np.uint8) % 2
    values = np.arange(num_rows * len(columns), dtype=np.float32).reshape(num_rows, -1)
    values[split == 0, len(CORE) :] = np.nan
    epoch = np.repeat(np.arange(1, epochs + 1, dtype=np.int32), 2)
    return MetricsTable(columns, epoch, epoch.astype(np.int64), split, np.zeros(num_rows), values)


@pytest.mark.parametrize("metrics", [(), ("r2",), tuple(f"metric_{i}" for i in range(7))])
def test_a_panel_for_the_loss_and_one_for_each_metric(metrics: tuple[str, ...]) -> None:
    curves = make_history(make_table(*metrics))
    assert list(curves.row_labels) == ["loss", *(name.replace("_", " ") for name in metrics)]
    axes = draw_curves(curves, headline="run").axes
    assert len(axes) == 1 + len(metrics)
    for ax in axes[1:]:
        lines = {line.get_gid(): np.asarray(line.get_xdata()) for line in ax.lines}
        assert lines["training"].size == 0
        assert lines["validation"].tolist() == [1, 2, 3, 4]


def test_a_single_epoch_is_drawn_too() -> None:
    assert render_curves(make_history(make_table("r2", epochs=1)), headline="run")


def test_what_is_asked_for_is_drawn_and_what_was_not_recorded_is_refused() -> None:
    table = make_table("r2", "mse")
    assert list(make_history(table, metrics=["grad_norm"]).row_labels) == ["loss", "grad norm"]
    with pytest.raises(UsageError, match=r"no metric mrs was recorded; there are: loss, loss.a"):
        make_history(table, metrics=["mrs"])
