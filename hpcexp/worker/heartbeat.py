"""Showing life from a thread: also while torch is imported, or a long step is computed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hpcexp.errors import HpcexpError, SupersededError
from hpcexp.store.ownership import HEARTBEAT_EVERY_S, Ownership

logger = logging.getLogger("hpcexp.worker")


@contextmanager
def beating(ownership: Ownership, *, every_s: float = HEARTBEAT_EVERY_S) -> Iterator[None]:
    """Within, the run's heartbeat is renewed every few seconds, for as long as it is ours."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(every_s):
            try:
                ownership.check()
                ownership.show_life()
            except SupersededError:
                return
            except (OSError, HpcexpError) as error:  # a file system that is away for a moment
                logger.warning("cannot show life: %s", error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
