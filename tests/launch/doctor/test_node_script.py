"""The batch script of the job that looks at a node."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hpcexp.launch.doctor.node_script import list_submit_options, write_node_script
from hpcexp.launch.doctor.target import Target


def test_the_script_is_a_shell_script_whatever_the_paths_hold(tmp_path: Path) -> None:
    strange = tmp_path / "a 'b' $(touch made) %j"
    strange.mkdir()
    script = tmp_path / "node.sh"
    script.write_text(write_node_script(Target(strange, partition="a b"), strange))
    subprocess.run(["bash", "-n", str(script)], check=True)
    # It was started again: it ends before it does anything.
    environment = {"SLURM_RESTART_COUNT": "1", "PATH": "/usr/bin:/bin"}
    subprocess.run(["bash", str(script)], cwd=tmp_path, env=environment, check=True)
    assert not (tmp_path / "made").exists()
    assert list(strange.iterdir()) == []


def test_setup_lines_run_before_python(tmp_path: Path) -> None:
    text = write_node_script(Target(tmp_path, setup=("module load cuda", "ulimit -n")), tmp_path)
    assert text.index("module load cuda\nulimit -n\n") < text.index("srun")


def test_a_directory_that_the_node_does_not_see_is_named(tmp_path: Path) -> None:
    script = tmp_path / "node.sh"
    script.write_text(write_node_script(Target(tmp_path), tmp_path / "not here"))
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{tmp_path}/not here is not there on" in done.stderr


def test_percent_signs_in_the_directory_are_not_filled_in_by_slurm(tmp_path: Path) -> None:
    options = list_submit_options(Target(tmp_path), tmp_path / "100%a", job_name="x")
    assert f"--output={tmp_path}/100%%a/job.log" in options


def test_the_job_asks_for_what_was_given(tmp_path: Path) -> None:
    target = Target(tmp_path, "gpu", "lab", "high", "a100", 1)
    options = list_submit_options(target, tmp_path, job_name="hpcexp-doctor-1")
    wanted = {"--partition=gpu", "--account=lab", "--qos=high", "--constraint=a100"}
    assert {*wanted, "--gpus-per-node=1", "--job-name=hpcexp-doctor-1"} <= set(options)
