"""Several runs of a bundle at the same time, each share of them in a process of its own.

For runs that cannot be lanes of one program, on a GPU that one run does not fill. The
children are workers like their parent; it passes signals on to them and waits.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from hpcexp.store.layout import ExperimentDir
from hpcexp.worker.interruption import Interruption

logger = logging.getLogger("hpcexp.worker")

POLL_EVERY_S = 0.2


def train_in_processes(
    experiment: ExperimentDir,
    submission_id: str,
    index: int,
    names: Sequence[str],
    *,
    num_processes: int,
    num_threads: int,
    interruption: Interruption,
) -> list[int]:
    """Train runs in so many processes; gives their exit codes, below 0 for a signal."""
    shares = [share for i in range(num_processes) if (share := names[i::num_processes])]
    environment = {**os.environ, "HPCEXP_THREADS": str(max(1, num_threads // len(shares)))}
    command = [sys.executable, *list_flags(), "-m", "hpcexp.worker"]
    arguments = [str(experiment.path), submission_id, str(index)]
    children = [
        subprocess.Popen([*command, *arguments, *share], env=environment) for share in shares
    ]
    logger.info("%d runs are trained in %d processes", len(names), len(children))
    told: signal.Signals | None = None
    while any(child.poll() is None for child in children):
        if interruption.signal is not told:
            told = interruption.signal
            for child in children:
                if child.poll() is None and told is not None:
                    child.send_signal(told)
        time.sleep(POLL_EVERY_S)
    return [child.returncode for child in children]


def list_flags() -> list[str]:
    """Those of this process: where modules come from, and that no bytecode is written."""
    flags = [("-P", sys.flags.safe_path), ("-B", sys.flags.dont_write_bytecode)]
    return [*(flag for flag, is_set in flags if is_set), "-u"]
