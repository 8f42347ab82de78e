"""The table of executors."""

from __future__ import annotations

from hpcexp.launch import slurm
from hpcexp.launch.executor import Executor
from hpcexp.launch.inline import InlineExecutor
from hpcexp.launch.local import LocalExecutor

EXECUTORS: dict[str, Executor] = {
    "slurm": slurm.SlurmExecutor(),
    "local": LocalExecutor(),
    "inline": InlineExecutor(),
}


def choose_executor() -> str:
    """Slurm on a login node, else this machine."""
    return "slurm" if slurm.has_slurm() else "local"
