"""The daemons of a cluster: how each is started, and how one sees that it is up."""

import os
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.slurm_cluster.client import SlurmClient, without_slurm_variables
from tests.slurm_cluster.configuration import ClusterPaths, ClusterSettings
from tests.slurm_cluster.daemon import ClusterError, Daemon
from tests.slurm_cluster.ports import is_listening
from tests.slurm_cluster.processes import DIRECTORY_VARIABLE
from tests.slurm_cluster.programs import find_program, search_path

# All daemons but the nodes'.
SERVICES = ("munged", "mariadbd", "slurmdbd", "slurmctld")
INSTALL_TIMEOUT_S = 120


def install_database(paths: ClusterPaths) -> None:
    """Create MariaDB's own tables. Raises ClusterError where that fails."""
    completed = subprocess.run(
        [
            find_program("mariadb-install-db"),
            "--no-defaults",
            "--user=root",
            f"--datadir={paths.database_dir}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ],
        env=_daemon_env(paths),
        cwd=paths.root_dir,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if completed.returncode != 0:
        raise ClusterError(f"mariadb-install-db failed:\n{completed.stdout}{completed.stderr}")


def make_daemons(
    paths: ClusterPaths, settings: ClusterSettings, *, client: SlurmClient
) -> dict[str, Daemon]:
    """All daemons by name, in the order in which they start; none is started."""
    daemons: dict[str, Daemon] = {}

    def add(name: str, *command: str, is_up: Callable[[], bool]) -> None:
        daemons[name] = Daemon(
            name=name,
            command=[find_program(command[0]), *command[1:]],
            env=_daemon_env(paths),
            work_dir=paths.root_dir,
            log_path=paths.log_path(name),
            is_up=is_up,
        )

    def answers(*command: str | Path) -> bool:
        return client.run(*command, check=False).returncode == 0

    def slurmd_is_up(node: str, port: int) -> bool:
        # Without a controller there is nobody with whom it could register.
        return is_listening(port) and (
            daemons["slurmctld"].pid is None or _is_registered(client.node_state(node))
        )

    add(
        "munged",
        "munged",
        "--foreground",
        # Its directory is closed to other users, which munged does not like.
        "--force",
        f"--key-file={paths.munge_key_path}",
        f"--socket={paths.munge_socket_path}",
        f"--pid-file={paths.root_dir}/munged.pid",
        f"--seed-file={paths.root_dir}/munged.seed",
        is_up=lambda: answers("munge", "--no-input", f"--socket={paths.munge_socket_path}"),
    )
    add(
        "mariadbd",
        "mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={paths.database_dir}",
        f"--socket={paths.database_socket_path}",
        f"--pid-file={paths.root_dir}/mariadbd.pid",
        "--skip-networking",
        is_up=lambda: _accepts_connections(paths.database_socket_path),
    )
    add("slurmdbd", "slurmdbd", "-D", is_up=lambda: answers("sacctmgr", "list", "cluster"))
    add("slurmctld", "slurmctld", "-D", is_up=lambda: answers("scontrol", "ping"))
    for node, port in zip(settings.nodes, settings.slurmd_ports, strict=True):
        add(node, "slurmd", "-N", node, "-D", is_up=partial(slurmd_is_up, node, port))
    return daemons


def _daemon_env(paths: ClusterPaths) -> dict[str, str]:
    return without_slurm_variables(os.environ) | {
        "PATH": search_path(),
        "SLURM_CONF": str(paths.slurm_conf_path),
        # slurmdbd's MariaDB client; the default socket may be that of a real database.
        "MYSQL_UNIX_PORT": str(paths.database_socket_path),
        DIRECTORY_VARIABLE: str(paths.root_dir),
    }


def _is_registered(node_state: str) -> bool:
    # With * the controller does not reach the node.
    return node_state != "unknown" and not node_state.endswith("*")


def _accepts_connections(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_path)) == 0
