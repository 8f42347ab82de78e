"""The table of executors."""

from __future__ import annotations

from hpcexp.launch.executor import Executor
from hpcexp.launch.inline import InlineExecutor
from hpcexp.launch.local import LocalExecutor
from hpcexp.launch.slurm.executor import SlurmExecutor, has_slurm

EXECUTORS: dict[str, Executor] = {
    "slurm": SlurmExecutor(),
    "local": LocalExecutor(),
    "inline": InlineExecutor(),
}


def choose_executor() -> str:
    """Slurm on a login node, else this machine."""
    return "slurm" if has_slurm() else "local"
