"""The run directory as the training core's sink: rows, checkpoints, status, heartbeat.

Imports torch only when a checkpoint is read or written: a run must be able to say that it
began, or that torch cannot be imported, before it is.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Sequence
from math import isfinite
from typing import Any

from hpcexp.store.checkpoints import (
    claim_checkpoint,
    list_checkpoints,
    remove_old_checkpoints,
)
from hpcexp.store.metrics import MetricsRow, MetricsWriter
from hpcexp.store.ownership import Ownership
from hpcexp.store.status import RunStatus, write_status
from hpcexp.train.sink import Checkpoint, Progress, Row
from hpcexp.worker.interruption import Interruption

logger = logging.getLogger("hpcexp.worker")

STATUS_EVERY_S = 1.0
FLUSH_EVERY_S = 10.0
LOG_EVERY_S = 15.0


class RunDirSink:
    """Writes to one run directory for as long as this attempt owns it."""

    def __init__(
        self, ownership: Ownership, *, status: RunStatus, interruption: Interruption
    ) -> None:
        self.ownership, self.run_dir = ownership, ownership.run_dir
        self.status, self.stop = status, interruption
        self.writer: MetricsWriter | None = None
        self.begun: float | None = None
        self.trained_before_s = status.trained_s
        self.next_status = self.next_flush = self.next_log = 0.0
        self.is_announced = False

    def load_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that is whole."""
        from hpcexp.train.checkpoint import DamagedCheckpointError, read_checkpoint

        for path in list_checkpoints(self.run_dir):
            try:
                checkpoint = read_checkpoint(path)
            except DamagedCheckpointError as error:
                logger.warning("%s; trying the one before it", error)
                continue
            step = checkpoint["step"]
            with self.ownership.writing():
                claim_checkpoint(self.run_dir, path, attempt=self.ownership.attempt, step=step)
                logger.info("continuing from step %d (%s)", step, path.name)
            return checkpoint
        return None

    def save_checkpoint(self, checkpoint: Checkpoint, *, step: int) -> None:
        """Keep a checkpoint, and the one before it.

        Its bytes are written aside without the run's lock, since that may take long, and
        get their name under it.
        """
        from hpcexp.train.checkpoint import write_checkpoint

        with self.ownership.writing():
            self._flush()  # a checkpoint promises that the rows before it are on disk
        self.run_dir.checkpoints_dir.mkdir(exist_ok=True)
        path = self.run_dir.checkpoint_path(attempt=self.ownership.attempt, step=step)
        aside = path.with_name(f".{path.name}.written.tmp")
        try:
            write_checkpoint(aside, checkpoint)
            with self.ownership.writing():
                aside.replace(path)
                remove_old_checkpoints(self.run_dir)
        finally:
            aside.unlink(missing_ok=True)

    def keep_parameters(self, parameters: Checkpoint, *, epoch: int) -> None:
        """Keep the parameters of an epoch, written aside and renamed under the run's lock."""
        from hpcexp.train.checkpoint import write_checkpoint

        self.run_dir.kept_dir.mkdir(exist_ok=True)
        path = self.run_dir.kept_path(epoch=epoch)
        aside = path.with_name(f".{path.name}.{self.ownership.attempt}.tmp")
        try:
            write_checkpoint(aside, parameters)
            with self.ownership.writing():
                aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def start(self, columns: Sequence[str], *, resume_step: int | None) -> None:
        """Begin this attempt's metrics file with the older rows that count."""
        self.begun = time.monotonic()
        self.writer = MetricsWriter.start(
            self.run_dir.path,
            attempt=self.ownership.attempt,
            columns=columns,
            resume_step=resume_step,
            check=self.ownership.check,
            # The rows are flushed here, under the run's lock, and not when the writer sees fit.
            flush_rows=sys.maxsize,
            flush_seconds=math.inf,
        )

    def record(self, rows: Sequence[Row], progress: Progress) -> None:
        """Append rows; now and then renew status, heartbeat and log."""
        assert self.writer is not None
        now = time.time()
        if rows:
            self.writer.append([MetricsRow(r.epoch, r.step, r.split, now, r.values) for r in rows])
        self._update_status(rows, progress)
        if time.monotonic() >= self.next_status or progress.step == progress.num_steps:
            self.write_status()

    def interruption(self) -> str | None:
        """A signal, or a request to cancel in the run's directory."""
        if self.stop.reason is None:
            return None
        if self.run_dir.cancel_path.exists():  # the signal came because of it
            self.stop.cancel()
        return self.stop.reason

    def end(self, **changes: Any) -> RunStatus:
        """Write the last status of this attempt."""
        self.status = self.status.replace(ended=time.time(), trained_s=self._trained_s(), **changes)
        with self.ownership.writing():
            try:
                self._flush()
            finally:
                write_status(self.run_dir, self.status)
        return self.status

    def close(self) -> None:
        """Close the metrics file; rows that could not be written are given up."""
        if self.writer is not None:
            self.writer.abandon()

    def _update_status(self, rows: Sequence[Row], progress: Progress) -> None:
        validated = [row for row in rows if row.split == "validate"]
        metrics = self.status.metrics
        if validated:
            # JSON has no NaN; null stands for a value that is not finite.
            values = validated[-1].values.items()
            metrics = {k: v if isfinite(v) else None for k, v in values}
        self.status = self.status.replace(
            epoch=progress.epoch,
            num_epochs=progress.num_epochs,
            step=progress.step,
            num_steps=progress.num_steps,
            trained_s=self._trained_s(),
            metrics=metrics,
        )

    def write_status(self) -> None:
        """Write the status as it is, show life, and look for a request to cancel."""
        now = time.monotonic()
        with self.ownership.writing():
            write_status(self.run_dir, self.status, is_news=not self.is_announced)
            self.is_announced = True
            self.ownership.show_life()
            if now >= self.next_flush:
                self._flush()
            if now >= self.next_log and self.status.num_steps:
                self.next_log = now + LOG_EVERY_S
                logger.info("%s", describe_progress(self.status))
        self.next_status = now + STATUS_EVERY_S
        if self.run_dir.cancel_path.exists():
            self.stop.cancel()

    def _flush(self) -> None:
        """Write the rows that wait and wait for the disk; to be called under the run's lock."""
        if self.writer is not None:
            self.writer.flush()
            self.next_flush = time.monotonic() + FLUSH_EVERY_S

    def _trained_s(self) -> float:
        now_s = 0.0 if self.begun is None else time.monotonic() - self.begun
        return self.trained_before_s + now_s


def describe_progress(status: RunStatus) -> str:
    """One line for the log: how far, how fast, how good."""
    metrics = "  ".join(
        f"{name} {value:.4g}" for name, value in status.metrics.items() if value is not None
    )
    speed = 1000 * status.trained_s / max(status.step, 1)
    return (
        f"epoch {status.epoch}/{status.num_epochs}  step {status.step}/{status.num_steps}  "
        f"{speed:.3g} ms/step  {metrics}"
    )
