"""Living on the simulated cluster: its clock, its hosts and its processes instead of ours."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from hpcexp.launch.slurm import commands
from hpcexp.store import ownership
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import Owner, Ownership
from tests.simulated_cluster.commands import SimulatedSlurm


@contextmanager
def living_on(slurm: SimulatedSlurm) -> Iterator[None]:
    """Within, commands ask the simulated cluster, time is its time, and heartbeats bear it."""
    cluster = slurm.cluster
    describe, write_owner = ownership._describe_this_process, ownership._write_owner

    def describe_simulated(*, token: int) -> Owner:
        owner = dataclasses.replace(describe(token=token), host="login", boot_id="")
        if cluster.current is None:
            return owner
        job, start = cluster.current
        return dataclasses.replace(owner, host=job.node, pid=start.pid, process_start=1)

    def stamp(path: Path) -> None:
        os.utime(path, (cluster.clock.now, cluster.clock.now))

    def write_stamped(run_dir: RunDir, owner: Owner) -> None:
        write_owner(run_dir, owner)
        stamp(run_dir.owner_path)

    def is_visible(owner: Owner) -> bool:
        return cluster.current is not None and cluster.current[0].node == owner.host

    def beat(self: Ownership) -> None:
        stamp(self.run_dir.owner_path)

    def sleep(seconds: float) -> None:
        """No time passes within a step of the clock: a process of a job does not sleep."""
        if cluster.current is None:
            cluster.clock.run_until(cluster.clock.now + seconds)

    with ExitStack() as stack:
        stack.enter_context(commands.using(slurm))
        for target, name, replacement in (
            ("time", "time", lambda: cluster.clock.now),
            ("time", "sleep", sleep),
            ("hpcexp.store.ownership", "_describe_this_process", describe_simulated),
            ("hpcexp.store.ownership", "_write_owner", write_stamped),
            ("hpcexp.store.ownership", "is_visible_here", is_visible),
            ("hpcexp.store.ownership", "read_clock", lambda _: cluster.clock.now),
            (
                "hpcexp.store.ownership",
                "read_process_start",
                lambda pid: 1 if pid in cluster.alive else None,
            ),
        ):
            stack.enter_context(mock.patch(f"{target}.{name}", replacement))
        stack.enter_context(mock.patch.object(Ownership, "show_life", beat))
        yield
