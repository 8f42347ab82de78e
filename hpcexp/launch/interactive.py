"""One run in the foreground: here, or on a node with this terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.launch.observe import ACTIVE, observe
from hpcexp.launch.resume import Choice, make_chooser
from hpcexp.launch.selection import select_runs
from hpcexp.launch.slurm.commands import make_environment
from hpcexp.launch.slurm.script import choose_signal_delay_s
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import FINISHED
from hpcexp.template import Resources


def choose_one(experiment: ExperimentDir, name: str) -> Callable[[], list[str]]:
    """Chooses the run under the submission lock, as `resume` would.

    Raises UsageError, when called, for a name that is none or means several runs, for a run that
    has ended of its own, and for one that somebody works on.
    """
    choose = make_chooser(experiment, Choice((name,)))

    def choose_exactly() -> list[str]:
        check_one(experiment, name)
        return choose()

    return choose_exactly


def check_one(experiment: ExperimentDir, name: str) -> str:
    """The run's name, if it can be trained now; raises as `choose_one` says."""
    observation = observe(experiment)
    runs = select_runs(observation, [name])
    if len(runs) != 1:
        raise UsageError(f"{name} means {len(runs)} runs; name one, such as {runs[0]}")
    (run,) = runs
    state = observation.statuses[run].state
    if state in FINISHED:
        raise UsageError(
            f"{run}: is {state.words}, and a finished run is never trained again; hpcexp reproduce "
            f"{experiment.name} {run} trains it once more elsewhere"
        )
    if state in ACTIVE or run in observation.names_held():
        raise UsageError(
            f"{run}: is {state.words}; end that first: hpcexp cancel {experiment.name} {run}"
        )
    return run


def train_on_node(
    experiment: ExperimentDir, run: str, resources: Resources, *, with_terminal: bool
) -> int:
    """Have Slurm run this command on a node, in the foreground; returns its exit code.

    On the node the run is submitted and locked, so that it is taken once whatever happens between.
    """
    place = os.path.abspath(experiment.path)  # noqa: PTH100 (nodes may mount it elsewhere)
    inner = [sys.executable, "-m", "hpcexp", "run", place, run, "--here"]
    inner += ["--set", f"cpus={resources.cpus}"]
    script = "\n".join([*resources.setup, f"exec {shlex.join(inner)}"])
    command = [
        "srun",
        *list_srun_options(resources, job_name=f"{experiment.short_name}.{run}"),
        *(["--pty"] if with_terminal else []),
        *("bash", "-c", script),
    ]
    return subprocess.call(command, env=_environment())


def _environment() -> dict[str, str]:
    """Where this hpcexp was imported from, the node imports it, too."""
    own = str(Path(__file__).parents[2])
    paths = [own, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**make_environment(), "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def list_srun_options(resources: Resources, *, job_name: str) -> list[str]:
    """What the run's job would ask sbatch for, in srun's words."""
    given = {
        "job-name": job_name,
        "nodes": 1,
        "ntasks": 1,
        "time": resources.timeout_min,
        "mem": f"{resources.mem_gb}G",
        "cpus-per-task": resources.cpus,
        "gpus-per-node": resources.gpus or None,
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "exclude": ",".join(resources.exclude) or None,
        # The run saves a checkpoint when its time is nearly up.
        "signal": f"USR2@{choose_signal_delay_s(resources.timeout_min)}",
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]
