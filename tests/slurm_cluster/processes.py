"""The processes of one cluster: finding them by its directory, and ending them.

A cluster's directory has a name that no other cluster has, so a process that refers to it is
known to be of this cluster, also when its parent is gone.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.slurm_cluster.waiting import wait_until

# In the environment of every daemon of a cluster; its value is the cluster's directory.
DIRECTORY_VARIABLE = "HPCEXP_SLURM_CLUSTER_DIR"


@dataclass(frozen=True)
class Process:
    """What /proc tells about a process."""

    pid: int
    parent_pid: int
    executable: str
    cwd: Path
    env: frozenset[str]


def find_processes(cluster_dir: Path) -> list[int]:
    """Ids of the cluster's daemons, its job steps, and everything that those started."""
    processes = _read_processes()
    found = {process.pid for process in processes if _is_of_cluster(process, cluster_dir)}
    while True:
        children = {process.pid for process in processes if process.parent_pid in found} - found
        if not children:
            return sorted(found - {os.getpid()})
        found |= children


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return _read_process(pid) is not None


def end_processes(cluster_dir: Path, *, timeout_s: float = 10) -> None:
    """Kill the cluster's processes.

    Raises TimeoutError where one is still there after timeout_s.
    """

    def kill_and_look_again() -> bool:
        pids = find_processes(cluster_dir)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    wait_until(kill_and_look_again, timeout_s=timeout_s)


def _is_of_cluster(process: Process, cluster_dir: Path) -> bool:
    if f"{DIRECTORY_VARIABLE}={cluster_dir}" in process.env:
        return True
    # slurmstepd writes its title over its environment, but stays where its slurmd was started.
    if process.executable.startswith("slurm") and process.cwd.is_relative_to(cluster_dir):
        return True
    # SLURM_CONF alone is not enough: a person's shell may have exported it.
    return f"SLURM_CONF={cluster_dir}/slurm.conf" in process.env and any(
        variable.startswith("SLURM_JOB_ID=") for variable in process.env
    )


def _read_processes() -> list[Process]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [process for pid in pids if (process := _read_process(pid)) is not None]


def _read_process(pid: int) -> Process | None:
    """None for a process that has ended (a zombie too), or that is not ours to see."""
    proc_dir = Path("/proc", str(pid))
    try:
        # The command's name, in parentheses, may contain anything.
        state, parent_pid = (proc_dir / "stat").read_text().rpartition(")")[2].split()[:2]
        if state == "Z":
            return None
        return Process(
            pid=pid,
            parent_pid=int(parent_pid),
            executable=(proc_dir / "exe").readlink().name,
            cwd=(proc_dir / "cwd").readlink(),
            env=frozenset((proc_dir / "environ").read_text(errors="replace").split("\0")),
        )
    except OSError:
        return None
