"""The run directory as the training core's sink: rows, checkpoints, status, heartbeat.

Imports torch only when a checkpoint is read or written: a run must be able to say that it
began, or that torch cannot be imported, before it is.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from hpcexp.store.checkpoints import (
    claim_checkpoint,
    list_checkpoints,
    read_step,
    remove_old_checkpoints,
)
from hpcexp.store.files import write_json
from hpcexp.store.metrics import SPLITS, MetricsRow, MetricsWriter, read_metrics
from hpcexp.store.ownership import Ownership
from hpcexp.store.status import RunStatus, write_status
from hpcexp.train.sink import Checkpoint, Foretold, Progress, Row
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
        with self._writing_checkpoint(checkpoint, step=step):
            remove_old_checkpoints(self.run_dir)

    def rewind(self, checkpoint: Checkpoint, *, step: int, epoch: int) -> None:
        """Make a checkpoint of an earlier step the newest, and drop rows and parameters after it.

        In this order: an attempt that is killed on the way leaves a checkpoint with all its rows.
        """
        assert self.writer is not None
        with self._writing_checkpoint(checkpoint, step=step):
            abandoned = [p for p in list_checkpoints(self.run_dir) if read_step(p) > step]
            abandoned += [p for e, p in self.run_dir.list_kept().items() if e > epoch]
            for path in abandoned:
                path.unlink()
            remove_old_checkpoints(self.run_dir)
            self.writer.rewind(step=step)
        self.status = self.status.replace(metrics=self._read_newest_metrics())

    def _read_newest_metrics(self) -> dict[str, float | None]:
        """Those of the last evaluation on disk; without one, as the status has them."""
        table = read_metrics(self.run_dir.path)
        validated = table.select(table.split == SPLITS.index("validate"))
        found = validated.row(-1).values if len(validated) else self.status.metrics
        return _replace_infinite({name: found[name] for name in self.status.metrics})

    @contextmanager
    def _writing_checkpoint(self, checkpoint: Checkpoint, *, step: int) -> Iterator[None]:
        """Within, a checkpoint has got its name, and the run's lock is still held."""
        with self.ownership.writing():
            self._flush()  # a checkpoint promises that the rows before it are on disk
        path = self.run_dir.checkpoint_path(attempt=self.ownership.attempt, step=step)
        with self._putting(checkpoint, path):
            yield

    @contextmanager
    def _putting(self, content: Checkpoint, path: Path) -> Iterator[None]:
        """Within, a file that was written aside has got its name; what a crash leaves is hidden."""
        from hpcexp.train.checkpoint import write_checkpoint

        self.run_dir.checkpoints_dir.mkdir(exist_ok=True)
        aside = self.run_dir.checkpoints_dir / f".{path.name}.written.tmp"
        try:
            write_checkpoint(aside, content)
            with self.ownership.writing():
                aside.replace(path)
                yield
        finally:
            aside.unlink(missing_ok=True)

    def record_divergence(self, record: Checkpoint, summary: Mapping[str, Any]) -> None:
        """Keep what the step can be run again from, and what people read."""
        with self._putting(record, self.run_dir.forensics_path):
            write_json(self.run_dir.divergence_path, summary)

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
            metrics = _replace_infinite(validated[-1].values)
        self.status = self.status.replace(
            epoch=progress.epoch,
            num_epochs=progress.num_epochs,
            step=progress.step,
            num_steps=progress.num_steps,
            skipped_steps=progress.skipped_steps,
            rollbacks=progress.rollbacks,
            foretold=_spell_foretold(progress.foretold),
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


def _replace_infinite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has no NaN: None stands for a value that is not finite."""
    return {k: v if v is not None and isfinite(v) else None for k, v in values.items()}


def _spell_foretold(foretold: Foretold | None) -> dict[str, Any] | None:
    if foretold is None:
        return None
    return {**asdict(foretold), **_replace_infinite({"value": foretold.value})}


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
