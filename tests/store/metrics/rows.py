"""Rows and runs for the tests of the metrics."""

from __future__ import annotations

from pathlib import Path

from hpcexp.store.metrics import (
    SPLITS,
    MetricsRow,
    MetricsTable,
    MetricsWriter,
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
