from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpcexp.launch.slurm.script import (
    choose_signal_delay_s,
    to_submitit_parameters,
    write_script,
)
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission, make_submission
from hpcexp.template import Resources
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN

EXPERIMENT = ExperimentDir(Path("experiments/2022_m12_d14@14_58_06_max_epoch"))


def make(num_jobs: int = 3) -> Submission:
    bundles = [[f"run_{i}"] for i in range(num_jobs)]
    return make_submission(EXPERIMENT, number=1, executor="slurm", bundles=bundles)


def write(resources: Resources, num_jobs: int = 3) -> list[str]:
    text = write_script(EXPERIMENT, make(num_jobs), resources)
    return [line.removeprefix("#SBATCH --") for line in text.splitlines()]


def test_the_job_name_begins_with_the_templates_and_is_unique_to_place_and_number() -> None:
    name = make().job_name
    assert name.startswith("max_epoch.2022_m12_d14@14_58_06.1.")
    elsewhere = ExperimentDir(Path("/elsewhere") / EXPERIMENT.name)
    other = make_submission(elsewhere, number=1, executor="slurm", bundles=[["run_0"]])
    assert other.job_name != name


def test_an_array_is_throttled_only_if_asked() -> None:
    assert "array=0-2%3" in write(Resources())
    assert "array=0-299%300" in write(Resources(), num_jobs=300)
    assert "array=0-2%2" in write(Resources(max_parallel=2))


def test_cpus_reach_srun_which_does_not_inherit_them() -> None:
    command = next(line for line in write(Resources(cpus=5)) if line.startswith("srun"))
    assert "--cpus-per-task=5" in command


def test_the_wckey_that_clusters_refuse_is_not_set() -> None:
    assert not any("wckey" in line for line in write(Resources()))


def test_no_gpu_is_asked_for_unless_wanted() -> None:
    assert not any("gpu" in line for line in write(Resources()))
    assert "gpus-per-node=2" in write(Resources(gpus=2))


def test_other_sbatch_options_are_passed_on_and_win() -> None:
    lines = write(Resources(sbatch={"mail_type": "END", "exclusive": True}))
    assert "mail-type=END" in lines
    assert "exclusive" in lines


def test_jobs_may_be_requeued_unless_the_template_forbids_it() -> None:
    assert "requeue" in write(Resources())
    assert "requeue" not in write(Resources(sbatch={"no-requeue": True}))


def test_every_job_prints_into_a_log_of_its_own_and_a_restart_goes_on_there() -> None:
    lines = write(Resources())
    output = next(line for line in lines if line.startswith("output="))
    assert output.endswith("jobs/submission_001/job_%a.log")
    command = next(line for line in lines if line.startswith("srun"))
    assert f"--{output} --open-mode=append" in command.replace("'", "")
    assert "open-mode=append" in lines


def test_a_single_job_is_an_array_too_so_that_it_knows_its_index() -> None:
    assert "array=0-0%1" in write(Resources(), num_jobs=1)


def test_the_worker_is_ours_and_needs_no_pickle() -> None:
    command = next(line for line in write(Resources()) if line.startswith("srun"))
    experiment = EXPERIMENT.path.absolute()
    assert command.endswith(f"-u -m hpcexp.worker {experiment} submission_001")


def test_a_path_with_spaces_and_quotes_reaches_the_worker_as_it_is(tmp_path: Path) -> None:
    """The batch shell is asked to split the command and to run what follows the worker."""
    place = ExperimentDir(tmp_path / "a 'b' $(touch c)" / EXPERIMENT.name)
    place.submission_dir("submission_001").mkdir(parents=True)
    submission = make_submission(place, number=1, executor="slurm", bundles=[["run_0"]])
    text = write_script(place, submission, Resources())
    told = run_batch(tmp_path, text, code=0)
    assert told["srun"][-2:] == [str(place.path), "submission_001"]
    assert not (tmp_path / "c").exists()


def test_the_log_folder_holds_no_pattern_that_an_array_would_change() -> None:
    output = next(line for line in write(Resources()) if line.startswith("output="))
    assert "%" not in output.rsplit("/", 1)[0]


@pytest.mark.parametrize(
    ("timeout_min", "delay_s"), [(1, 20), (2, 24), (5, 60), (10, 120), (600, 120)]
)
def test_jobs_are_told_of_their_limit_in_good_time(timeout_min: int, delay_s: int) -> None:
    assert choose_signal_delay_s(timeout_min) == delay_s


def test_every_parameter_is_one_that_submitit_knows() -> None:
    from submitit.slurm.slurm import _get_default_parameters

    resources = Resources(
        gpus=1, partition="p", account="a", qos="q", constraint="c", exclude=["n"], setup=["x"]
    )
    parameters = to_submitit_parameters(resources, make(), log="job_%a.log")
    assert set(parameters) <= set(_get_default_parameters())


# ------------------------------------------------------------------- the Python of the jobs


def find_command(**resources: Any) -> list[str]:
    """The words after srun's own that run the worker."""
    line = next(x for x in write(Resources.model_validate(resources)) if x.startswith("srun"))
    words = shlex.split(line)
    return words[words.index("--cpus-per-task=1") + 1 :]


def test_a_python_of_its_own_takes_the_place_of_the_launchers() -> None:
    command = find_command(python="/envs/lab/bin/python")
    assert command[:5] == ["/envs/lab/bin/python", "-P", "-B", "-u", "-m"]
    assert command[5] == "hpcexp.worker"


def test_a_program_around_python_does_not_end_of_what_is_meant_for_it() -> None:
    command = find_command(python="uv run --project 'a b' python")
    assert command[:7] == [
        "env", "--ignore-signal=USR2,TERM", "uv", "run", "--project", "a b", "python",
    ]  # fmt: skip


def test_a_container_sees_the_experiments_the_launch_and_what_is_named() -> None:
    container = {"image": "lab.sif", "bind": ["/data:/d"], "options": ["--writable-tmpfs"]}
    command = find_command(container=container, gpus=1)
    assert command[2:6] == ["apptainer", "exec", "--writable-tmpfs", "--nv"]
    here = Path.cwd()
    assert f"--bind={EXPERIMENT.path.parent.absolute()}" in command
    assert command.index(f"--bind={here}") < command.index("--bind=/data:/d")
    assert command[command.index(f"--pwd={here}") :][1:4] == ["lab.sif", "python3", "-P"]


def test_a_container_gets_the_path_of_the_copied_code() -> None:
    container = {"image": "lab.sif", "runtime": "singularity"}
    lines = write(Resources.model_validate({"container": container, "setup": ["module load s"]}))
    places = [
        next(i for i, line in enumerate(lines) if line.startswith(start))
        for start in ("module load s", "export PYTHONPATH=", "export SINGULARITYENV_PYTHONPATH=")
    ]
    assert places == sorted(places)


# ------------------------------------------------- what the batch shell does afterwards


def run_batch(
    tmp_path: Path,
    text: str,
    *,
    code: int,
    restarts: int | None = 0,
    state: str = "RUNNING",
    refusal: str = "",
) -> dict[str, list[str]]:
    """Run a script as Slurm does, with a worker that ends with `code`; returns what it called."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    bodies = {
        "srun": f"exit {code}",
        "squeue": f"echo {state}",
        "scontrol": f"echo {refusal} >&2; exit 1" if refusal else "true",
        "sleep": "true",
    }
    for name, body in bodies.items():
        script = folder / name
        script.write_text(
            f'#!/bin/sh\nfor a; do printf "%s\\n" "$a"; done > {tmp_path}/called_{name}\n{body}\n'
        )
        script.chmod(0o755)
    path = tmp_path / "submission.sh"
    path.write_text(text)
    done = subprocess.run(
        ["bash", str(path)],
        cwd=tmp_path,
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_ARRAY_JOB_ID": "77",
            "SLURM_ARRAY_TASK_ID": "0",
            # Slurm sets it only in a job that was started again.
            **({} if restarts is None else {"SLURM_RESTART_COUNT": str(restarts)}),
        },
    )
    assert done.returncode == code
    return {
        name: (tmp_path / f"called_{name}").read_text().splitlines()
        for name in bodies
        if (tmp_path / f"called_{name}").exists()
    }


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    experiment = ExperimentDir(tmp_path / EXPERIMENT.name)
    experiment.submission_dir("submission_001").mkdir(parents=True)
    return experiment


def write_for(experiment: ExperimentDir, resources: Resources | None = None) -> str:
    submission = make_submission(experiment, number=1, executor="slurm", bundles=[["run_0"]])
    return write_script(experiment, submission, resources or Resources())


@pytest.mark.parametrize(
    ("code", "state", "is_started_again"),
    [
        (0, "RUNNING", False),
        (1, "RUNNING", False),
        (START_AGAIN, "RUNNING", True),
        (ASK_SLURM, "RUNNING", True),
        (ASK_SLURM, "COMPLETING", False),
        (ASK_SLURM, "", False),
        (128 + 9, "RUNNING", True),
        (128 + 11, "RUNNING", True),
        (128 + 15, "RUNNING", False),
        (128 + 2, "RUNNING", False),
    ],
)
def test_a_job_is_started_again_after_its_time_limit_preemption_or_a_crash(
    experiment: ExperimentDir, tmp_path: Path, code: int, state: str, is_started_again: bool
) -> None:
    called = run_batch(tmp_path, write_for(experiment), code=code, state=state)
    assert called.get("scontrol", []) == (["requeue", "77_0"] if is_started_again else [])
    assert not experiment.not_requeued_path("submission_001", 0).exists()


def test_a_job_is_started_again_as_often_as_the_template_allows(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    text = write_for(experiment, Resources(max_restarts=3))
    assert "scontrol" in run_batch(tmp_path, text, code=137, restarts=2)
    (tmp_path / "called_scontrol").unlink()
    assert "scontrol" not in run_batch(tmp_path, text, code=137, restarts=3)
    note = experiment.not_requeued_path("submission_001", 0).read_text()
    assert note.splitlines() == [
        "its process was killed by signal 9",
        "started again 3 times, the most that the template allows",
    ]


def test_a_job_that_may_never_be_started_again_was_started_again_0_times(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    run_batch(tmp_path, write_for(experiment, Resources(max_restarts=0)), code=137, restarts=None)
    note = experiment.not_requeued_path("submission_001", 0).read_text()
    assert note.splitlines()[1].startswith("started again 0 times, the most")


def test_where_slurm_forbids_it_the_reason_is_written_down(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    text = write_for(experiment)
    run_batch(tmp_path, text, code=START_AGAIN, refusal="Requested operation is disabled")
    path = experiment.not_requeued_path("submission_001", 0)
    assert path.read_text() == "its time limit is near\nRequested operation is disabled\n"
    run_batch(tmp_path, text, code=START_AGAIN)
    assert not path.exists()
