"""A Slurm cluster of this machine's own, below one temporary directory."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.slurm_cluster.client import SlurmClient
from tests.slurm_cluster.configuration import CLUSTER_NAME, ClusterPaths, ClusterSettings
from tests.slurm_cluster.daemon import ClusterError, Daemon
from tests.slurm_cluster.daemons import SERVICES, install_database, make_daemons
from tests.slurm_cluster.files import write_cluster_files
from tests.slurm_cluster.ports import choose_free_ports, own_name_is_loopback
from tests.slurm_cluster.processes import end_processes
from tests.slurm_cluster.programs import find_missing_programs
from tests.slurm_cluster.waiting import wait_until

__all__ = ["ClusterError", "SlurmCluster", "find_missing_programs"]

KEEP_VARIABLE = "HPCEXP_KEEP_SLURM"
# A Unix socket's path has at most 107 characters; slurmstepd's are the longest ones below it.
MAX_DIRECTORY_LENGTH = 60
GUARD_TIMEOUT_S = 30
NODE_TIMEOUT_S = 30
REGISTRATION_TIMEOUT_S = 30
_PROJECT_DIR = Path(__file__).parents[2]


class SlurmCluster(SlurmClient):
    """A real Slurm with accounting, alive inside a `with` block.

    Everything is below one directory and on ports of its own, so that clusters do not meet each
    other, nor a Slurm or a database that belongs to the machine. Jobs are root's.

    The daemons are munged, mariadbd, slurmdbd, slurmctld, and for each node a slurmd that has the
    node's name: n1, n2, ... There are two partitions, normal (the default) and urgent, whose jobs
    requeue those of normal.

    Raises ClusterError, with the end of the daemon's log, where a daemon does not come up.
    """

    def __init__(
        self, *, max_array_size: int = 1001, num_nodes: int = 2, enforce_limits: bool = False
    ) -> None:
        """Choose what start() starts.

        With enforce_limits, limits that `sacctmgr modify user root set MaxSubmitJobs=2` and the
        like put on the user count; otherwise Slurm ignores them.
        """
        self._max_array_size = max_array_size
        self._num_nodes = num_nodes
        self._enforce_limits = enforce_limits
        self._paths: ClusterPaths | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._daemons: dict[str, Daemon] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def slurm_conf_path(self) -> Path:
        """The cluster's slurm.conf; ClusterError where the cluster is not started."""
        return self._started_paths.slurm_conf_path

    @property
    def root_dir(self) -> Path:
        """The directory that everything is below; ClusterError where it is not started."""
        return self._started_paths.root_dir

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the daemons that run, by name."""
        return {
            name: daemon.pid for name, daemon in self._daemons.items() if daemon.pid is not None
        }

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes, and of their slurmd."""
        return [name for name in self._daemons if name not in SERVICES]

    def start(self) -> None:
        """Start all daemons and wait until jobs can be submitted."""
        missing = find_missing_programs()
        if missing:
            raise ClusterError(f"missing programs: {', '.join(missing)}; type: make test-cluster")
        if self._paths is not None:
            raise ClusterError(f"started already, in {self.root_dir}")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill what runs in jobs, stop the daemons and remove the directory.

        With HPCEXP_KEEP_SLURM set the directory stays. Nothing where nothing was started.
        """
        if self._paths is None:
            return
        root_dir = self._paths.root_dir
        try:
            if self._daemons:
                self._stop_in_order(root_dir)
        finally:
            # Also after a second Ctrl-C: the guard ends whatever is left.
            self._dismiss_guard(root_dir)
            self._paths = None
            self._guard = None
            self._daemons = {}

    def stop_daemon(self, name: str, *, kill: bool = False) -> None:
        """Stop one daemon, with SIGTERM or (kill) SIGKILL. What a slurmd's jobs run goes on.

        A slurmctld saves its state now and then, and on SIGTERM: killed, it may have forgotten
        that a job started, start it once more, and drain the node as that finds the first.
        """
        self._daemon(name).stop(kill=kill)

    def start_daemon(self, name: str) -> None:
        """Start one daemon again after stop_daemon, and wait until it is up.

        For slurmctld that includes that it knows the nodes that are there.
        """
        daemon = self._daemon(name)
        daemon.launch()
        daemon.wait_until_up()
        if name == "slurmctld":
            for node in self.nodes:
                if self._daemons[node].pid is not None:
                    self._daemons[node].wait_until_up()

    def reset(self) -> None:
        """Undo what a test did: start what it stopped, cancel its jobs, bring nodes back."""
        for name, daemon in self._daemons.items():
            if daemon.pid is None:
                self.start_daemon(name)
        self.cancel_all_jobs()
        for node in self.nodes:
            self.resume_node(node)

    def set_node_down(self, node: str, *, reason: str = "test") -> None:
        """Mark a node as down, which ends its jobs with NODE_FAIL, or requeues them.

        It stays down, although its slurmd goes on, until resume_node.
        """
        self.run("scontrol", "update", f"nodename={node}", "state=down", f"reason={reason}")

    def resume_node(self, node: str) -> None:
        """Bring a node back after set_node_down, and wait until it takes jobs."""
        if self.node_state(node).startswith(("down", "drain")):
            self.run("scontrol", "update", f"nodename={node}", "state=resume")
        usable = ("idle", "mixed", "allocated")
        try:
            wait_until(lambda: self.node_state(node) in usable, timeout_s=NODE_TIMEOUT_S)
        except TimeoutError as error:
            raise ClusterError(f"node {node} stays {self.node_state(node)}") from error

    @property
    def _started_paths(self) -> ClusterPaths:
        if self._paths is None:
            raise ClusterError("the cluster is not started")
        return self._paths

    def _daemon(self, name: str) -> Daemon:
        if name not in self._daemons:
            raise ClusterError(f"no daemon {name}; there are: {', '.join(self._daemons)}")
        return self._daemons[name]

    def _start(self) -> None:
        settings = self._choose_settings()
        self._paths = ClusterPaths(_make_directory())
        self._guard = _start_guard(self._paths.root_dir)
        write_cluster_files(self._paths, settings)
        install_database(self._paths)
        self._daemons = make_daemons(self._paths, settings, client=self)
        for name in ("munged", "mariadbd", "slurmdbd"):
            self.start_daemon(name)
        self.run("sacctmgr", "--immediate", "add", "cluster", CLUSTER_NAME)
        for node in settings.nodes:
            self._daemons[node].launch()
        self.start_daemon("slurmctld")
        wait_until(self._is_registered, timeout_s=REGISTRATION_TIMEOUT_S)

    def _choose_settings(self) -> ClusterSettings:
        slurmctld_port, slurmdbd_port, *slurmd_ports = choose_free_ports(2 + self._num_nodes)
        return ClusterSettings(
            slurmctld_port=slurmctld_port,
            slurmdbd_port=slurmdbd_port,
            slurmd_ports=tuple(slurmd_ports),
            max_array_size=self._max_array_size,
            enforce_limits=self._enforce_limits,
            loopback_only=own_name_is_loopback(),
        )

    def _is_registered(self) -> bool:
        # Until the controller has told the accounting where it listens, its jobs are not seen.
        shown = self.run("sacctmgr", "--noheader", "list", "cluster", "format=ControlPort").stdout
        return shown.strip() not in ("", "0")

    def _stop_in_order(self, root_dir: Path) -> None:
        # The controller first, so that it starts no more jobs while their nodes go away; the
        # rest each before what it relies on. Killed, because nobody needs what they would save,
        # and SIGTERM may take long: MariaDB forgets one that comes while it starts, and a slurmd
        # without a controller needs half a minute.
        for name in ("slurmctld", *self.nodes, "slurmdbd", "mariadbd", "munged"):
            self.stop_daemon(name, kill=True)
        # A slurmd leaves its jobs running.
        end_processes(root_dir)

    def _dismiss_guard(self, root_dir: Path) -> None:
        if self._guard is None:
            return
        _, errors = self._guard.communicate(timeout=GUARD_TIMEOUT_S)
        if self._guard.returncode != 0:
            raise ClusterError(f"could not clean up: {errors.decode(errors='replace')}")
        if root_dir.exists():
            print(f"{KEEP_VARIABLE} is set: the cluster's files are in {root_dir}")


def _make_directory() -> Path:
    parent = tempfile.gettempdir()
    prefix = "hpcexp-slurm-"
    if len(parent) + len(prefix) > MAX_DIRECTORY_LENGTH - 10:
        parent = "/tmp"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()


def _start_guard(root_dir: Path) -> subprocess.Popen[bytes]:
    keep = ["--keep"] if os.environ.get(KEEP_VARIABLE) else []
    return subprocess.Popen(
        [sys.executable, "-m", "tests.slurm_cluster.guard", str(root_dir), *keep],
        cwd=_PROJECT_DIR,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C is for the parent only.
        start_new_session=True,
    )
