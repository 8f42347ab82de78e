"""How many CPUs there are for this process."""

from __future__ import annotations

import os


def count_cpus() -> int:
    """CPUs that this process may use: those of its job, or all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
