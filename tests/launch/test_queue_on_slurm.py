"""Sites, and a queue that is changed, held and joined from a terminal, on a real Slurm."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status
from hpcexp.store.submissions import read_submissions
from tests.launch.test_slurm_cluster import CommandLine
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

SITES = """\
[sites.one]
resources = {partition = "normal", setup = ["export PLACE=one"]}
[sites.two]
resources = {partition = "urgent", setup = ["export PLACE=two"]}
[resources]
setup = ['echo "prepared for $PLACE$SLURM_JOB_PARTITION"']
"""
STOP_AT_THE_RUN = """\
import sys
if "run" in sys.argv or sys.argv[0] == "-m":
    import hpcexp.worker.run as module
    train = module.train_run
    def train_run(*arguments, **options):
        breakpoint()
        return train(*arguments, **options)
    module.train_run = train_run
"""


@pytest.fixture
def hpcexp(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[CommandLine]:
    slurm_cluster.reset()
    yield CommandLine(slurm_cluster, tmp_path)
    for node in slurm_cluster.nodes:
        slurm_cluster.resume_node(node)
    slurm_cluster.reset()


def keep_jobs_waiting(hpcexp: CommandLine) -> None:
    for node in hpcexp.cluster.nodes:
        hpcexp.cluster.set_node_down(node)


def ask_queue(hpcexp: CommandLine, fields: str) -> set[str]:
    told = subprocess.run(
        ["squeue", "--noheader", "--array", f"--format={fields}"],
        env=hpcexp.cluster.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {line.strip() for line in told.stdout.splitlines()}


def test_one_template_unchanged_runs_on_two_sites(hpcexp: CommandLine) -> None:
    (hpcexp.directory / "hpcexp.toml").write_text(SITES)
    template = hpcexp.write_template("tiny.yaml", rand_inits=1)
    logs = {}
    for name, partition in (("one", "normal"), ("two", "urgent")):
        hpcexp("launch", template, "--slurm", "--site", name)
        experiment = hpcexp.newest()
        hpcexp.cluster.wait_until_idle(timeout_s=60)
        assert read_status(experiment.run("rnn_width=4_rand_0")).state == State.COMPLETED
        logs[name] = [p.read_text() for p in experiment.jobs_dir.glob("*/job_0.log")]
        assert f"--partition={partition}" in experiment.script_path("submission_001").read_text()
    # `[resources]` of the file comes before the site's own lines.
    assert "prepared for normal" in logs["one"][0]
    assert "prepared for urgent" in logs["two"][0]


def test_waiting_jobs_are_changed_held_and_released_and_the_record_says_so(
    hpcexp: CommandLine,
) -> None:
    keep_jobs_waiting(hpcexp)
    hpcexp("launch", hpcexp.write_template("tiny.yaml", rand_inits=3), "--slurm")
    experiment = hpcexp.newest()
    said = hpcexp("set", "tiny", "--max-parallel", "1", "--partition", "urgent", "--time", "7m")
    assert "1 array: at most 1 at a time" in said
    assert "3 jobs" in said
    assert ask_queue(hpcexp, "%P %l") == {"urgent 7:00"}
    array_id = read_submissions(experiment)[0].job_ids[0].partition("_")[0]
    shown = subprocess.run(
        ["scontrol", "show", "job", array_id],
        env=hpcexp.cluster.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "ArrayTaskThrottle=1" in shown.stdout
    (record,) = read_submissions(experiment)
    assert record.resources is not None
    kept = {name: record.resources[name] for name in ("max_parallel", "partition", "timeout")}
    assert kept == {"max_parallel": 1, "partition": "urgent", "timeout": "7m"}
    assert record.resources["mem_gb"] == 1

    assert "3 jobs" in hpcexp("hold", "tiny")
    assert ask_queue(hpcexp, "%r") == {"JobHeldUser"}
    assert read_submissions(experiment)[0].is_on_hold
    assert "JobHeldUser" in hpcexp("status", "tiny")
    assert "3 jobs" in hpcexp("release", "tiny")
    assert "JobHeldUser" not in ask_queue(hpcexp, "%r")
    assert not read_submissions(experiment)[0].is_on_hold
    refused = hpcexp("set", "tiny", "--partition", "nowhere", exit_code=1)
    assert "scontrol update was refused" in refused
    assert ask_queue(hpcexp, "%P") == {"urgent"}
    assert read_submissions(experiment)[0].resources == record.resources


def read_until(terminal: int, text: str) -> str:
    read, deadline = "", time.monotonic() + 90
    while text not in read:
        assert time.monotonic() < deadline, read
        if select.select([terminal], [], [], 1)[0]:
            try:
                read += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # the other side is closed
                break
    assert text in read, read
    return read


def test_a_run_is_stepped_through_on_a_node_from_this_terminal(hpcexp: CommandLine) -> None:
    keep_jobs_waiting(hpcexp)
    hpcexp("launch", hpcexp.write_template("tiny.yaml", rand_inits=2), "--slurm")
    experiment = hpcexp.newest()
    name = "rnn_width=4_rand_0"
    assert "end that first: hpcexp cancel" in hpcexp("run", "tiny", name, "--here", exit_code=2)
    hpcexp("cancel", "tiny")
    for node in hpcexp.cluster.nodes:
        hpcexp.cluster.resume_node(node)
    hooks = hpcexp.directory / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(STOP_AT_THE_RUN)
    paths = [str(hooks), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcexp", "run", "tiny", name, "--interactive"],
        cwd=hpcexp.directory,
        env={**hpcexp.cluster.env, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    read_until(ours, "(Pdb)")
    os.write(ours, b"import os; print('job', os.environ['SLURM_JOB_ID'], 6 * 7)\n")
    assert " 42" in read_until(ours, " 42")
    os.write(ours, b"c\n")
    read_until(ours, "completed")
    process.wait(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert read_state(experiment, name) == State.COMPLETED
    assert read_state(experiment, "rnn_width=4_rand_1") == State.CANCELLED
    assert "never trained again" in hpcexp("run", "tiny", name, "--here", exit_code=2)


def read_state(experiment: ExperimentDir, name: str) -> State:
    return read_status(experiment.run(name)).state
