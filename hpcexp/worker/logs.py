"""Logging that a full disk cannot stop: it costs lines, never a run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

LINE = logging.Formatter("%(asctime)s %(message)s")
_speaker: ContextVar[Path | None] = ContextVar("speaker", default=None)


class LossyStreamHandler(logging.StreamHandler[Any]):
    """Writes lines to a stream; those that cannot be written are lost."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say nothing of a stream that refuses, which is where it would be said."""
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


class LossyFileHandler(logging.FileHandler):
    """Writes lines to a file, made at the first of them; those that cannot be written are lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, if the file can be opened."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say nothing of a disk that is full: the next line may find room."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close, whether the last lines can be written or not."""
        with suppress(OSError):
            super().close()

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(exist_ok=True)
        return super()._open()


def start_logging() -> None:
    """Log to standard error, which is the job's log."""
    root = logging.getLogger("hpcexp")
    root.setLevel(logging.INFO)
    if not root.handlers:
        handler = LossyStreamHandler()
        handler.setFormatter(LINE)
        root.addHandler(handler)


@contextmanager
def logging_to(path: Path, *, about: Path) -> Iterator[None]:
    """Within, what hpcexp logs goes to the attempt's log as well as to standard error.

    Not so what is said `speaking_of` another run than the one in the directory `about`.
    """
    handler = LossyFileHandler(path)
    handler.setFormatter(LINE)
    handler.addFilter(lambda _: _speaker.get() in (None, about))
    root = logging.getLogger("hpcexp")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def speaking_of(about: Path) -> Iterator[None]:
    """Within, what is logged concerns one run of several that are trained together."""
    before = _speaker.set(about)
    try:
        yield
    finally:
        _speaker.reset(before)


def let_go_of_full_streams() -> None:
    """Flush standard output and error; what cannot be written is thrown away.

    Python would otherwise try once more at its end, and exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _throw_away(stream)


def _throw_away(stream: IO[str]) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
