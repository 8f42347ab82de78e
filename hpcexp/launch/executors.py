"""The table of executors."""

from __future__ import annotations

from hpcexp.launch.executor import Executor
from hpcexp.launch.inline import InlineExecutor
from hpcexp.launch.local import LocalExecutor
from hpcexp.launch.slurm.executor import SlurmExecutor, has_slurm
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Stage, read_submissions

EXECUTORS: dict[str, Executor] = {
    "slurm": SlurmExecutor(),
    "local": LocalExecutor(),
    "inline": InlineExecutor(),
}


def choose_executor(experiment: ExperimentDir | None = None) -> str:
    """As the experiment was trained last; a new one by Slurm on a login node, else here."""
    submissions = read_submissions(experiment) if experiment else []
    used = [s.executor for s in submissions if s.stage != Stage.GIVEN_UP]
    last = used[-1] if used else "slurm"
    return last if last != "slurm" or has_slurm() else "local"
