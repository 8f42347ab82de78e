"""Waiting, for a bounded time, for a file system that is full or away.

A disk that is full for a minute, or a file server that is started again, must not cost a run
that has trained for a day. What was to be written is held in memory, and tried again with
longer and longer pauses; the training waits. When patience ends, the error ends the run, and
`hpcexp resume` continues it from its last checkpoint, with the same numbers.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hpcexp.errors import (
    HpcexpError,
    StorageError,
    SupersededError,
    explain_os_error,
)
from hpcexp.store.locks import LockedError
from hpcexp.store.ownership import Ownership
from hpcexp.train.sink import Checkpoint, Progress, Row, Sink
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.variables import read_seconds

logger = logging.getLogger("hpcexp.worker")

PATIENCE_VARIABLE = "HPCEXP_DISK_PATIENCE_S"
DEFAULT_PATIENCE_S = 600.0
AFTER_A_SIGNAL_S = 10.0  # Slurm kills half a minute after it asked
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 15.0

REFUSING = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
PASSING = REFUSING | {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOENT, errno.ENOTCONN),
    *(errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV, errno.ENXIO),
    *(errno.EAGAIN, errno.EBUSY, errno.ENFILE, errno.EMFILE, errno.ENOLCK, errno.EREMOTEIO),
}

_T = TypeVar("_T")


class Patience:
    """Does something with files until it works, or `limit_s` is over.

    `place` is a directory that exists for as long as its file system is there: without it,
    any error is put down to that. After a request to stop there are seconds left only.
    """

    def __init__(
        self, place: Path, interruption: Interruption, *, limit_s: float | None = None
    ) -> None:
        self.place, self.interruption = place, interruption
        self.limit_s = find_patience_s() if limit_s is None else limit_s

    def __call__(
        self,
        action: Callable[[], _T],
        *,
        again: Callable[[], _T] | None = None,
        check: Callable[[], None] = lambda: None,
        is_refusal_final: bool = False,
    ) -> _T:
        """What `action` returns; after a failure `again` is called, if it is given.

        `check` is called before each further try, and raises SupersededError where it must not
        be made. With `is_refusal_final` a missing permission is not waited for: nothing has
        been trained yet that could be lost. Raises the last error when patience ends.
        """
        begun, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                if pause_s > FIRST_PAUSE_S:
                    check()
                done = action()
            except (OSError, HpcexpError) as error:
                waited_s = time.monotonic() - begun
                if not self._may_pass(error, is_refusal_final=is_refusal_final):
                    raise
                if waited_s + pause_s > self._find_limit_s():
                    raise
                if pause_s == FIRST_PAUSE_S:
                    logger.warning(
                        "%s; trying again, for %.0f s at most", show(error), self.limit_s
                    )
                self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                action = again or action
            else:
                if pause_s > FIRST_PAUSE_S:
                    logger.info("going on after %.0f s", time.monotonic() - begun)
                return done

    def _may_pass(self, error: OSError | HpcexpError, *, is_refusal_final: bool) -> bool:
        number = find_errno(error)
        if isinstance(error, SupersededError) or (is_refusal_final and number in REFUSING):
            return False
        return number in PASSING or isinstance(error, StorageError | LockedError) or self._is_away()

    def _is_away(self) -> bool:
        try:
            self.place.stat()
        except OSError:
            return True
        return False

    def _find_limit_s(self) -> float:
        return self.limit_s if self.interruption.signal is None else AFTER_A_SIGNAL_S

    def _pause(self, seconds: float) -> None:
        """Sleep, but not on when a request to stop comes."""
        was_asked = self.interruption.signal is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.interruption.signal is not None and not was_asked:
                return
            time.sleep(min(0.1, seconds))


class PatientSink:
    """A run's sink that waits for the disk, for as long as this attempt owns the run."""

    def __init__(self, sink: Sink, ownership: Ownership, patience: Patience) -> None:
        self.sink, self.ownership, self.patience = sink, ownership, patience

    def load_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint; "there is none" counts only while the run is there."""

        def load() -> Checkpoint | None:
            checkpoint = self.sink.load_checkpoint()
            self.ownership.check()
            return checkpoint

        return self._do(load)

    def save_checkpoint(self, checkpoint: Checkpoint, *, step: int) -> None:
        """Keep a checkpoint."""
        self._do(lambda: self.sink.save_checkpoint(checkpoint, step=step))

    def rewind(self, checkpoint: Checkpoint, *, step: int, epoch: int) -> None:
        """Make a checkpoint of an earlier step the newest."""
        self._do(lambda: self.sink.rewind(checkpoint, step=step, epoch=epoch))

    def record_divergence(self, record: Checkpoint, summary: Mapping[str, Any]) -> None:
        """Keep what a step that diverged can be run again from: not worth waiting for."""
        self.sink.record_divergence(record, summary)

    def keep_parameters(self, parameters: Checkpoint, *, epoch: int) -> None:
        """Keep the parameters of an epoch."""
        self._do(lambda: self.sink.keep_parameters(parameters, epoch=epoch))

    def start(self, columns: Sequence[str], *, resume_step: int | None) -> None:
        """Begin the metrics."""
        self._do(lambda: self.sink.start(columns, resume_step=resume_step))

    def record(self, rows: Sequence[Row], progress: Progress) -> None:
        """Append rows: those of a try that failed wait in memory already, to be written."""
        self._do(
            lambda: self.sink.record(rows, progress),
            again=lambda: self.sink.record((), progress),
        )

    def interruption(self) -> str | None:
        """Why the run should stop at this step boundary, or None to go on."""
        return self._do(self.sink.interruption)

    def _do(self, action: Callable[[], _T], again: Callable[[], _T] | None = None) -> _T:
        return self.patience(action, again=again, check=self.ownership.check)


def find_patience_s() -> float:
    """Seconds to wait for a disk: `HPCEXP_DISK_PATIENCE_S`, else 600. It changes no number.

    Raises UsageError for what is no number of seconds.
    """
    meaning = f"to wait for at most {DEFAULT_PATIENCE_S:.0f} s"
    return read_seconds(PATIENCE_VARIABLE, DEFAULT_PATIENCE_S, meaning=meaning)


def find_errno(error: BaseException) -> int | None:
    """The number of the system's error that an error is, or was made of."""
    if isinstance(error, OSError):
        return error.errno
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def show(error: OSError | HpcexpError) -> str:
    """An error in a line."""
    return explain_os_error(error) if isinstance(error, OSError) else str(error)
