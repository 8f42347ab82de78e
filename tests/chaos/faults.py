"""Faults on the real test cluster, one after another, by a seeded script."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, read_status
from tests.slurm_cluster.cluster import SlurmCluster
from tests.slurm_cluster.daemon import ClusterError

FILLER = "filler"


class Chaos:
    """Does harm to an experiment's jobs, their nodes, the daemons and a disk.

    `counts` has how often each fault was done.
    """

    def __init__(self, cluster: SlurmCluster, experiment: ExperimentDir, *, seed: int) -> None:
        self.cluster, self.experiment = cluster, experiment
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.commands: list[subprocess.Popen[bytes]] = []
        self.faults: dict[str, Callable[[], bool]] = {
            "requeue a job": self.requeue,
            "kill a worker": self.kill_worker,
            "take a node down": self.take_node_down,
            "kill a slurmd": self.kill_slurmd,
            "stop slurmctld": self.stop_controller,
            "stop slurmdbd": self.stop_database,
            "fill a run's disk": self.fill_disk,
            "resume at the same time": self.resume,
        }

    def rage(self, seconds: float, *, pause_s: float = 3.0) -> None:
        """Each fault once in a random order, then at random until time is up; then mend all."""
        deadline = time.monotonic() + seconds
        to_do = self.random.sample(list(self.faults), len(self.faults))
        while time.monotonic() < deadline:
            name = to_do.pop() if to_do else self.random.choice(list(self.faults))
            # A fault may fail because another one is not over yet, such as a controller's restart.
            with contextlib.suppress(ClusterError):
                self.counts[name] += self.faults[name]()
            time.sleep(self.random.uniform(0.3, 1.7) * pause_s)
        self.mend()

    def mend(self) -> None:
        """The cluster is whole again, disks have room, and no command is still at work."""
        self.experiment.run(self.list_runs()[0]).path.joinpath(FILLER).unlink(missing_ok=True)
        for command in self.commands:
            command.wait(120)
        for name in ("slurmdbd", "slurmctld", *self.cluster.nodes):
            if name not in self.cluster.pids:
                self.cluster.start_daemon(name)
        for node in self.cluster.nodes:
            self.cluster.resume_node(node)

    # ------------------------------------------------------------------------- faults

    def requeue(self) -> bool:
        """What an administrator does, or preemption."""
        running = self.list_running()
        if not running:
            return False
        status = self.random.choice(running)
        done = self.cluster.run("scontrol", "requeue", status.job_id, check=False)
        return done.returncode == 0

    def kill_worker(self) -> bool:
        """SIGKILL, as the kernel sends it for memory."""
        running = self.list_running()
        if not running:
            return False
        try:
            os.kill(self.random.choice(running).pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def take_node_down(self) -> bool:
        """Its jobs are started again elsewhere; it comes back."""
        node = self.random.choice(self.cluster.nodes)
        self.cluster.set_node_down(node)
        time.sleep(self.random.uniform(0.5, 3.0))
        self.cluster.resume_node(node)
        return True

    def kill_slurmd(self) -> bool:
        """The node is marked down while its processes go on: two attempts at once."""
        node = self.random.choice(self.cluster.nodes)
        self.cluster.stop_daemon(node, kill=True)
        self.cluster.set_node_down(node)
        time.sleep(self.random.uniform(2.0, 8.0))
        self.cluster.start_daemon(node)
        self.cluster.resume_node(node)
        return True

    def stop_controller(self) -> bool:
        """No command answers for a while; jobs go on."""
        self.cluster.stop_daemon("slurmctld")
        time.sleep(self.random.uniform(2.0, 8.0))
        self.cluster.start_daemon("slurmctld")
        return True

    def stop_database(self) -> bool:
        """Accounting does not answer for a while."""
        self.cluster.stop_daemon("slurmdbd")
        time.sleep(self.random.uniform(2.0, 8.0))
        self.cluster.start_daemon("slurmdbd")
        return True

    def fill_disk(self) -> bool:
        """The first run has a disk of its own, of 1 MB; it is full for a few seconds."""
        path = self.experiment.run(self.list_runs()[0]).path / FILLER
        with contextlib.suppress(OSError), path.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        time.sleep(self.random.uniform(2.0, 6.0))
        path.unlink()
        return True

    def resume(self) -> bool:
        """Two people type the same command at once."""
        self.commands += [self.start_command("resume", self.experiment.name) for _ in range(2)]
        return True

    # -------------------------------------------------------------------- surroundings

    def start_command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Type `hpcexp ...` on the login node and do not wait."""
        return subprocess.Popen(
            [sys.executable, "-m", "hpcexp", *arguments, "--slurm"],
            cwd=self.experiment.path.parent.parent,
            env=self.cluster.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def list_runs(self) -> list[str]:
        """Names of all runs."""
        return [run.name for run in read_plan(self.experiment).runs]

    def read_statuses(self) -> dict[str, RunStatus]:
        """What the runs say themselves; a run whose disk is full may be unreadable for a moment."""
        statuses = {}
        for name in self.list_runs():
            with contextlib.suppress(HpcexpError):
                statuses[name] = read_status(self.experiment.run(name))
        return statuses

    def list_running(self) -> list[RunStatus]:
        """Runs that say that they are training."""
        return [s for s in self.read_statuses().values() if s.state == State.RUNNING and s.pid]

    def complete(self, *, timeout_s: float) -> dict[str, RunStatus]:
        """Resume what is unfinished, as a user would in the morning, until all is completed."""
        deadline = time.monotonic() + timeout_s
        while True:
            statuses = self.read_statuses()
            if all(s.state == State.COMPLETED for s in statuses.values()):
                return statuses
            shown = {n: (s.state, s.reason) for n, s in statuses.items()}
            assert time.monotonic() < deadline, shown
            self.start_command("resume", self.experiment.name).wait(120)
            time.sleep(5.0)


@contextmanager
def disk_of_one_mb(path: Path) -> Iterator[None]:
    """Put a directory on a file system of its own, with what it holds."""
    kept = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], check=True)
    try:
        for name, content in kept.items():
            (path / name).write_bytes(content)
        yield
        kept = {
            str(file.relative_to(path)): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file()
        }
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
    for name, content in kept.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
