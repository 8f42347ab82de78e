"""A laboratory's own workload on a real Slurm, in what stands in for a container."""

from __future__ import annotations

import sys

import pytest

from hpcexp.store.status import State
from tests.launch.test_slurm_cluster import CommandLine, all_in, hpcexp, wait_for
from tests.slurm_cluster.cluster import SlurmCluster
from tests.store.trees import git, plain_git

__all__ = ["hpcexp", "plain_git"]

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

RUNTIME = """\
#!/bin/bash
# Stands in for Apptainer: notes how it is called, and waits for what it runs, as that does.
printf '%s\\n' "$@" > "$(dirname "$0")/called"
echo "$APPTAINERENV_PYTHONPATH" > "$(dirname "$0")/path"
shift
while [[ $1 == -* ]]; do shift; done
shift
"$@"
exit $?
"""
RUN = "width=8,lr=0.03_rand_0"


def test_a_run_in_a_container_is_told_of_its_time_limit_and_goes_on_with_the_copied_code(
    hpcexp: CommandLine, slurm_cluster: SlurmCluster
) -> None:
    hpcexp("new", "workload", "curve")
    git(hpcexp.directory, "init", "--quiet")
    bin_dir = hpcexp.directory / "bin"
    bin_dir.mkdir()
    (bin_dir / "apptainer").write_text(RUNTIME)
    (bin_dir / "apptainer").chmod(0o755)
    settings = {
        "params.max_epoch": 800,
        "params.eval_every": 50,
        "rand_inits": 1,
        "resources.mem_gb": 1,
        "resources.setup": f'["export PATH={bin_dir}:$PATH"]',
        "resources.python": sys.executable,
        "resources.container": "{image: lab.sif}",
    }
    options = [word for name, v in settings.items() for word in ("--set", f"{name}={v}")]
    hpcexp("launch", "templates/curve.yaml", "--slurm", "--only", RUN[: -len("_rand_0")], *options)
    experiment = hpcexp.newest()
    wait_for(experiment, lambda statuses: statuses[RUN].step > 0)
    (hpcexp.directory / "curve/config.py").write_text("raise SystemExit('edited since')\n")
    # What Slurm sends before the limit reaches every process of the step, the runtime too.
    (job,) = slurm_cluster.squeue()
    slurm_cluster.run("scancel", "--signal=USR2", job["JobID"])
    wait_for(experiment, lambda statuses: statuses[RUN].state == State.TIMED_OUT)
    slurm_cluster.run("scontrol", "update", f"JobId={job['JobID']}", "StartTime=now", check=False)
    (status,) = wait_for(experiment, all_in(State.COMPLETED)).values()
    assert (status.attempt, status.begun_step > 0) == (2, True)
    assert status.machine["code"].startswith("snapshot ")
    said = experiment.job_log_path("submission_001", 0).read_text()
    assert "hpcexp: its time limit is near; the job is started again" in said  # not: was killed
    called = (bin_dir / "called").read_text().splitlines()
    assert called[called.index("lab.sif") + 1] == sys.executable
    assert f"--bind={experiment.path.parent}" in called
    assert (bin_dir / "path").read_text().startswith(f"{experiment.code_dir}/package:")
