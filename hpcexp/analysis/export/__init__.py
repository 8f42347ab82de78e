"""Results for other programs. A new kind is a function in a file, and a line in `EXPORTERS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hpcexp.analysis.export.tables import write_csv, write_parquet
from hpcexp.analysis.export.to_mlflow import write_mlflow
from hpcexp.analysis.export.to_tensorboard import write_tensorboard
from hpcexp.analysis.export.to_wandb import write_wandb
from hpcexp.analysis.frames import Results

EXPORTERS: dict[str, Callable[[Results, Path], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "tensorboard": write_tensorboard,
    "wandb": write_wandb,
    "mlflow": write_mlflow,
}
"""Each fills an empty directory; the packages that it needs are imported within."""
