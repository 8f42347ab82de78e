"""Figures rendered beside each other: a process for each, while the next one is drawn.

To hand a figure to another process takes longer than to render it, so that each is rendered in a
fork of the process that has it. A fork has none of its threads, and may wait for a lock that one of
them held: with threads, as in a notebook, and on systems other than Linux, figures are rendered one
after another.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from hpcexp.analysis.figures.drawing import Drawing, render_drawing
from hpcexp.cpus import count_cpus

MAX_PROCESSES: Final = 4
"""More would hardly be faster, and a login node belongs to all."""


def render_drawings(
    drawings: Iterable[tuple[str, Drawing]],
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The files of each drawing by name, in the order of the drawings; each with its label."""
    limit = min(MAX_PROCESSES, count_cpus()) if _can_fork() else 1
    if limit < 2:
        yield from ((label, render_drawing(drawing)) for label, drawing in drawings)
        return
    waiting = deque[_Rendering]()
    _load_libraries()
    try:
        for label, drawing in drawings:
            if len(waiting) == limit:
                yield waiting.popleft().finish()
            waiting.append(_start(label, drawing))
        while waiting:
            yield waiting.popleft().finish()
    finally:
        for rendering in waiting:
            rendering.stop()


@dataclass(frozen=True)
class _Rendering:
    """A drawing and the process that renders it."""

    label: str
    drawing: Drawing
    process: Any  # multiprocessing's, of the start method that was chosen
    answer: Connection

    def finish(self) -> tuple[str, dict[str, bytes]]:
        """What was rendered; here and now, if that process could not, so that its error is told."""
        files = None
        with self.answer, suppress(EOFError, OSError):
            files = self.answer.recv()
        self.process.join()
        return self.label, files if files is not None else render_drawing(self.drawing)

    def stop(self) -> None:
        """End the process; nobody waits for what it renders."""
        self.process.kill()
        self.process.join()
        self.answer.close()


def _load_libraries() -> None:
    """What else each process would load by itself."""
    from PIL import Image

    Image.preinit()


def _start(label: str, drawing: Drawing) -> _Rendering:
    fork = multiprocessing.get_context("fork")
    answer, question = fork.Pipe(duplex=False)
    process = fork.Process(target=_render, args=(drawing, question), daemon=True)
    process.start()
    question.close()  # so that the end of the other process is the end of the answer
    return _Rendering(label, drawing, process, answer)


def _render(drawing: Drawing, question: Connection) -> None:
    """In the other process: Ctrl-C is for the one that started it, which then ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()  # to look for garbage in what is shared would copy all of it
    with suppress(Exception):  # it happens again where it can be told
        question.send(render_drawing(drawing))


def _can_fork() -> bool:
    return sys.platform == "linux" and threading.active_count() == 1
