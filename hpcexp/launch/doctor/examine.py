"""The whole examination."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.launch.doctor.cluster import examine_cluster
from hpcexp.launch.doctor.findings import (
    Finding,
    Report,
    count_levels,
    passed,
    report_to_json,
)
from hpcexp.launch.doctor.machine import examine_machine
from hpcexp.launch.doctor.mounts import IN_DOUBT
from hpcexp.launch.doctor.node_job import NodeReport, examine_node
from hpcexp.launch.doctor.target import Target

# With an error in one of these no job would come to look at a node.
NEEDED_FOR_NODE = frozenset(
    {"machine", "python", "directory", "commands", "version", "controller", "acceptance"}
)


@dataclass(frozen=True)
class Examination:
    """What was found on this machine, about its cluster, and on a node if one was looked at."""

    machine: Report
    cluster: Report
    node: NodeReport | None = None
    obstacles: tuple[str, ...] = ()
    """Checks whose errors kept the doctor from looking at a node."""
    settings: Report = field(default_factory=Report)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        node = (*self.node.findings, *self.node.on_node.findings) if self.node else ()
        return (
            *self.settings.findings,
            *self.machine.findings,
            *self.cluster.findings,
            *node,
        )

    @property
    def has_errors(self) -> bool:
        """Whether anything will not work."""
        return Report(self.findings).has_errors


def examine(
    target: Target,
    *,
    with_node: bool,
    wait_s: float,
    announce: Callable[[str], None],
    settings: Report | None = None,
) -> Examination:
    """Look at this machine and its cluster side by side, and then at a node if wanted.

    `settings` is what was found about the site's.
    Raises UsageError where a node is wanted and there is no Slurm.
    """
    if with_node and shutil.which("sbatch") is None:
        raise UsageError(
            "--node needs Slurm, and there is no sbatch on PATH: log in to the cluster, or leave "
            "--node out"
        )
    known = settings or Report()
    machines: queue.SimpleQueue[Report] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: machines.put(examine_machine(target.experiments_dir)), daemon=True
    ).start()
    cluster = examine_cluster(target)
    machine = machines.get()
    if not with_node:
        return Examination(machine, cluster, settings=known)
    broken = Report((*machine.findings, *cluster.findings))
    obstacles = tuple(
        finding.check
        for finding in broken.findings
        if Report((finding,)).has_errors and finding.check in NEEDED_FOR_NODE
    )
    if obstacles:
        return Examination(machine, cluster, obstacles=obstacles, settings=known)
    node = examine_node(target, machine, wait_s=wait_s, announce=announce)
    return Examination(_trust_the_node(machine, node), cluster, node, settings=known)


def _trust_the_node(machine: Report, node: NodeReport) -> Report:
    """Take back the doubt whether nodes see the directory, where one was seen to."""
    sight = Report(node.findings).get("shared_directory")
    if sight is None or Report((sight,)).has_errors:
        return machine
    findings = tuple(
        passed(f.check, f"{f.facts[IN_DOUBT]}, served to the nodes") if IN_DOUBT in f.facts else f
        for f in machine.findings
    )
    return Report(findings, machine.not_checked)


def examination_to_json(examination: Examination) -> dict[str, Any]:
    """Everything, for scripts."""
    node = examination.node
    return {
        "ok": not examination.has_errors,
        "counts": {str(k): n for k, n in count_levels(examination.findings).items()},
        "settings": report_to_json(examination.settings),
        "machine": report_to_json(examination.machine),
        "cluster": report_to_json(examination.cluster),
        "node": None
        if node is None
        else {
            "name": node.node,
            "job_id": node.job_id,
            "between": report_to_json(Report(node.findings)),
            "on_node": report_to_json(node.on_node),
        },
        "node_not_checked_because_of": list(examination.obstacles),
    }
