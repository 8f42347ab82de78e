"""Where a run's records go. The core writes to a `Sink`; the worker's is a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Checkpoint = dict[str, Any]  # tensors, numbers, strings and dictionaries of these


@dataclass(frozen=True)
class Row:
    """What was measured on one split at the end of one epoch (epoch 0: before training)."""

    epoch: int
    step: int
    split: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Foretold:
    """A run that a rule foretold to fail: at which epoch, by which value.

    `is_audited`: it trains on to its end all the same, to see whether it does fail.
    """

    epoch: int
    value: float
    is_audited: bool


@dataclass(frozen=True)
class Progress:
    """How far a run is, how often it diverged and went on, and what was foretold of it."""

    epoch: int
    num_epochs: int
    step: int
    num_steps: int
    skipped_steps: int = 0
    rollbacks: int = 0
    foretold: Foretold | None = None


class Sink(Protocol):
    """Keeps rows and checkpoints, and says when to stop.

    Any method may raise `hpcexp.errors.SupersededError`: the run belongs to another
    attempt, and nothing more may be written.
    """

    def load_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, or None to start from scratch."""
        ...

    def save_checkpoint(self, checkpoint: Checkpoint, *, step: int) -> None:
        """Keep a checkpoint. All rows up to its step have been recorded before."""
        ...

    def keep_parameters(self, parameters: Checkpoint, *, epoch: int) -> None:
        """Keep the parameters and buffers of an epoch for good."""
        ...

    def rewind(self, checkpoint: Checkpoint, *, step: int, epoch: int) -> None:
        """Forget what came after a step, the last one of an epoch, but for this checkpoint of it.

        Newer checkpoints go first: what is killed here goes on from one of them with all its
        rows, or from this one.
        """
        ...

    def record_divergence(self, record: Checkpoint, summary: Mapping[str, Any]) -> None:
        """Keep what a step that diverged can be run again from, and its summary for people.

        The summary is made of what JSON knows. One that was kept before is replaced.
        """
        ...

    def start(self, columns: Sequence[str], *, resume_step: int | None) -> None:
        """Called once, before any row: keep older rows up to `resume_step`, drop the rest."""
        ...

    def record(self, rows: Sequence[Row], progress: Progress) -> None:
        """Append rows (there may be none) and note the progress."""
        ...

    def interruption(self) -> str | None:
        """Why the run should stop at this step boundary, or None to go on."""
        ...


@dataclass
class MemorySink:
    """A sink that keeps everything in memory: for tests and for use from a notebook."""

    rows: list[Row] = field(default_factory=list)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    kept: dict[int, Checkpoint] = field(default_factory=dict)
    divergence: tuple[Checkpoint, Mapping[str, Any]] | None = None
    columns: tuple[str, ...] = ()
    progress: Progress | None = None
    interrupt_at_step: int | None = None

    def load_checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the highest step."""
        return self.checkpoints[max(self.checkpoints)] if self.checkpoints else None

    def save_checkpoint(self, checkpoint: Checkpoint, *, step: int) -> None:
        """Keep every checkpoint by its step."""
        self.checkpoints[step] = checkpoint

    def keep_parameters(self, parameters: Checkpoint, *, epoch: int) -> None:
        """Keep them by their epoch."""
        self.kept[epoch] = parameters

    def rewind(self, checkpoint: Checkpoint, *, step: int, epoch: int) -> None:
        """Drop rows, checkpoints and parameters from after the step."""
        self.checkpoints = {s: kept for s, kept in self.checkpoints.items() if s < step}
        self.checkpoints[step] = checkpoint
        self.rows = [row for row in self.rows if row.step <= step]
        self.kept = {e: kept for e, kept in self.kept.items() if e <= epoch}

    def record_divergence(self, record: Checkpoint, summary: Mapping[str, Any]) -> None:
        """Keep the newest."""
        self.divergence = (record, summary)

    def start(self, columns: Sequence[str], *, resume_step: int | None) -> None:
        """Drop the rows after the step that is resumed from."""
        self.columns = tuple(columns)
        self.rows = [r for r in self.rows if resume_step is not None and r.step <= resume_step]

    def record(self, rows: Sequence[Row], progress: Progress) -> None:
        """Keep rows and progress."""
        self.rows += rows
        self.progress = progress

    def interruption(self) -> str | None:
        """Stop once `interrupt_at_step` has been reported."""
        if self.interrupt_at_step is None or self.progress is None:
            return None
        return "asked to" if self.progress.step >= self.interrupt_at_step else None
