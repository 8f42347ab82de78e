"""The doctor on a real Slurm: healthy, and with faults."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hpcexp.launch.doctor.cluster import examine_cluster
from hpcexp.launch.doctor.findings import Finding, Level, Report, finding_from_json
from hpcexp.launch.doctor.target import Target
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Doctor:
    """Types `hpcexp doctor` on the cluster's login node, in a directory of its own."""

    cluster: SlurmCluster
    directory: Path

    def start(
        self, *arguments: str, python: str = sys.executable, mount: str = "", path: str = ""
    ) -> subprocess.Popen[str]:
        command = [python, "-m", "hpcexp", "doctor", *arguments]
        if mount:  # seen by this process and its children only
            script = f"{mount} && exec {shlex.join(command)}"
            command = ["unshare", "--mount", "sh", "-c", script]
        environment = self.cluster.env
        if path:
            environment = {**environment, "PATH": f"{path}{os.pathsep}{environment['PATH']}"}
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def __call__(self, *arguments: str, exit_code: int = 0, **where: str) -> dict[str, Any]:
        process = self.start("--json", *arguments, **where)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == exit_code, stdout + stderr
        found: dict[str, Any] = json.loads(stdout)
        return found


@pytest.fixture
def doctor(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[Doctor]:
    yield Doctor(slurm_cluster, tmp_path)
    slurm_cluster.reset()
    assert list(tmp_path.glob(".hpcexp-doctor-*")) == []


def find(report: dict[str, Any], check: str) -> Finding:
    (value,) = [f for f in report["findings"] if f["check"] == check]
    return finding_from_json(value)


def examine(cluster: SlurmCluster) -> Report:
    with cluster.activated():
        return examine_cluster(Target(Path("experiments")))


def find_in(report: Report, check: str) -> Finding:
    finding = report.get(check)
    assert finding is not None, report
    return finding


def test_a_healthy_cluster_passes_and_tells_its_limits(slurm_cluster: SlurmCluster) -> None:
    slurm_cluster.reset()  # another test may have taken a node away, which comes back in its time
    report = examine(slurm_cluster)
    assert report.not_checked == ()
    # The test cluster kills its jobs after 5 s.
    assert {f.check for f in report.findings if f.level != Level.PASSED} == {"KillWait"}
    assert "1001" in find_in(report, "MaxArraySize").found
    details = find_in(report, "partitions").details
    assert details[0] == "normal: 2 nodes, gpu:2, no time limit"


def test_a_controller_that_is_away_is_one_error_and_ends_the_look(
    doctor: Doctor, slurm_cluster: SlurmCluster
) -> None:
    slurm_cluster.stop_daemon("slurmctld")
    report = examine(slurm_cluster)
    (finding,) = [f for f in report.findings if f.level == Level.ERROR]
    assert finding.check == "controller"
    assert "DOWN" in finding.found
    assert report.not_checked == ("queue", "config", "partitions", "acceptance")


def test_accounting_that_is_away_is_a_warning(doctor: Doctor, slurm_cluster: SlurmCluster) -> None:
    slurm_cluster.stop_daemon("slurmdbd")
    report = examine(slurm_cluster)
    assert find_in(report, "sacct").level == Level.WARN
    assert find_in(report, "limits").level == Level.WARN
    assert find_in(report, "queue").level == Level.PASSED


def test_a_limit_of_the_user_is_told(slurm_cluster: SlurmCluster) -> None:
    modify = ("sacctmgr", "-i", "modify", "user", "root", "set")
    slurm_cluster.run(*modify, "MaxSubmitJobs=7")
    try:
        details = find_in(examine(slurm_cluster), "limits").details
    finally:
        slurm_cluster.run(*modify, "MaxSubmitJobs=-1")
    assert details == ("account root: MaxSubmitJobs 7 (obeyed: jobs that end submit the rest)",)


def test_a_node_is_looked_at_and_the_job_is_gone_afterwards(
    doctor: Doctor, slurm_cluster: SlurmCluster
) -> None:
    report = doctor("--node")
    node = report["node"]
    between = node["between"]
    assert {f["level"] for f in between["findings"]} == {"PASSED"}, between
    checks = {f["check"] for f in between["findings"]}
    assert checks >= {"srun", "shared_directory", "locks_across_hosts", "clocks", "requeue"}
    assert checks >= {"same_python", "same_torch", "same_hpcexp"}
    assert node["name"] in slurm_cluster.nodes
    assert find(node["on_node"], "flock").level == Level.PASSED
    assert find(node["on_node"], "acceptance").level == Level.PASSED
    # That is a local disk, but the node was seen to see it.
    assert find(report["machine"], "file_system").level == Level.PASSED
    assert slurm_cluster.squeue() == []


def test_people_see_both_hosts_side_by_side_and_gpus_that_torch_cannot_use(doctor: Doctor) -> None:
    """The files of the test cluster only stand in for GPUs."""
    process = doctor.start("--node", "--gpus", "1", "--partition", "urgent")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stdout + stderr
    assert "is running on n" in stderr
    assert "ERROR   job gpus            1 asked for, 0 usable by torch" in stdout
    assert "PASSED  requeue             a job may start itself again" in stdout
    (header,) = [line for line in stdout.splitlines() if line.split()[:2] == ["check", "here"]]
    assert "on n" in header
    assert stdout.splitlines()[-1].endswith("1 error")


def test_a_directory_that_the_node_does_not_see_is_an_error(
    doctor: Doctor, slurm_cluster: SlurmCluster
) -> None:
    here = doctor.directory / "only_here"
    here.mkdir()
    mount = f"mount -t tmpfs -o size=200m none {shlex.quote(str(here))}"
    report = doctor("--node", "--experiments-dir", str(here), exit_code=1, mount=mount)
    finding = find(report["node"]["between"], "job")
    assert finding.level == Level.ERROR
    assert f"left nothing in {here}" in finding.found
    assert "same path" in finding.todo
    assert slurm_cluster.squeue() == []


def test_a_python_that_the_node_does_not_have_is_an_error(doctor: Doctor) -> None:
    here = doctor.directory / "environment"
    here.mkdir()
    mount = f"mount --bind {shlex.quote(sys.prefix)} {shlex.quote(str(here))}"
    python = here / "bin" / "python"
    report = doctor("--node", exit_code=1, mount=mount, python=str(python))
    finding = find(report["node"]["between"], "job")
    assert "this Python is not there on" in finding.found


def test_srun_that_fails_in_the_job_is_an_error_and_the_rest_is_looked_at(doctor: Doctor) -> None:
    programs = doctor.directory / "programs"
    programs.mkdir()
    (programs / "srun").write_text("#!/bin/sh\necho no such plugin >&2\nexit 213\n")
    (programs / "srun").chmod(0o755)
    node = doctor("--node", exit_code=1, path=str(programs))["node"]
    assert find(node["between"], "srun").level == Level.ERROR
    assert "no such plugin" in find(node["between"], "job").details
    assert find(node["between"], "locks_across_hosts").level == Level.PASSED


def test_a_job_that_waits_too_long_is_cancelled_and_says_for_what_it_waited(
    doctor: Doctor, slurm_cluster: SlurmCluster
) -> None:
    busy = slurm_cluster.sbatch("--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 99")
    slurm_cluster.wait_until_running(busy, timeout_s=60)
    report = doctor("--node", "--wait", "4s")
    finding = find(report["node"]["between"], "job")
    assert finding.level == Level.WARN
    assert "still waits: Resources" in finding.found
    assert [job["JobID"] for job in slurm_cluster.squeue()] == [busy]


def test_ctrl_c_cancels_the_job(doctor: Doctor, slurm_cluster: SlurmCluster) -> None:
    busy = slurm_cluster.sbatch("--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 99")
    slurm_cluster.wait_until_running(busy, timeout_s=60)
    process = doctor.start("--node")
    deadline = time.monotonic() + 60
    while len(slurm_cluster.squeue()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert [job["JobID"] for job in slurm_cluster.squeue()] == [busy]


def test_a_partition_that_does_not_exist_is_an_error_with_those_that_do(doctor: Doctor) -> None:
    report = doctor("--node", "--partition", "nowhere", exit_code=1)
    assert "there are: normal, urgent" in find(report["cluster"], "partitions").found
    assert report["node_not_checked_because_of"] == ["acceptance"]
