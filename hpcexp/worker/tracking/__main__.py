"""`python -m hpcexp.worker.tracking EXPERIMENT KIND OPTIONS RUN...`: follows runs for a tracker.

A process of its own: a tracker that hangs, crashes, leaks, or handles signals does so here.
It ends when its standard input does, which also happens when its parent is killed.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path

from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.locks import LockedError, locked
from hpcexp.worker.logs import start_logging
from hpcexp.worker.tracking.follow import Follower, MakeTracker

logger = logging.getLogger("hpcexp.worker")

POLL_EVERY_S = 5.0
END_WITHIN_S = 90.0
"""After the end of the runs; the parent waits less, unless it was killed."""

TRACKERS = {
    "tensorboard": "to_tensorboard:TensorboardTracker",
    "wandb": "to_wandb:WandbTracker",
    "mlflow": "to_mlflow:MlflowTracker",
}


def main() -> None:
    """Follow the runs until the end of standard input, then once more."""
    path, kind, options, *names = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the parent, which tells us
    with suppress(OSError):
        os.nice(10)
    start_logging()
    experiment = ExperimentDir(Path(path))
    plan = read_plan(experiment)
    with ExitStack() as held:
        followed: dict[str, Follower] = {}

        def follow(*, is_last: bool = False) -> None:
            for name in names:
                run_dir = experiment.run(name)
                if name not in followed and _take(run_dir, kind, held):
                    followed[name] = Follower(
                        run_dir, plan, kind=kind, make=load(kind), options=json.loads(options)
                    )
                if name in followed:
                    followed[name].follow(is_last=is_last)

        while not _has_ended(POLL_EVERY_S):
            follow()
        _die_after(END_WITHIN_S)
        follow(is_last=True)


def load(kind: str) -> MakeTracker:
    """The class of a tracker; its package is imported when the first run is opened."""
    module, _, name = TRACKERS[kind].partition(":")
    found: MakeTracker = getattr(import_module(f"hpcexp.worker.tracking.{module}"), name)
    return found


def _take(run_dir: RunDir, kind: str, held: ExitStack) -> bool:
    """Whether this process follows the run: of two that could, one does."""
    try:
        held.enter_context(locked(run_dir.tracking_lock_path(kind), timeout_s=0))
    except (LockedError, OSError):
        return False
    return True


def _has_ended(wait_s: float) -> bool:
    """Whether standard input has ended, within so many seconds."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _die_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # packages have threads that wait for servers; all that matters is written
