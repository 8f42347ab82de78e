from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.launch.slurm import (
    SlurmExecutor,
    choose_signal_delay_s,
    outside_of_any_job,
    to_submitit_parameters,
)
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission, make_submission
from hpcexp.template import Resources

EXPERIMENT = ExperimentDir(Path("experiments/2022_m12_d14@14_58_06_max_epoch"))


def make(num_jobs: int = 3) -> Submission:
    bundles = [[f"run_{i}"] for i in range(num_jobs)]
    return make_submission(EXPERIMENT, number=1, executor="slurm", bundles=bundles)


def write(resources: Resources, num_jobs: int = 3) -> list[str]:
    text = SlurmExecutor().write_script(EXPERIMENT, make(num_jobs), resources)
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
    assert set(to_submitit_parameters(resources, make())) <= set(_get_default_parameters())


def test_variables_of_a_surrounding_job_are_hidden_and_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    with outside_of_any_job():
        assert "SLURM_JOB_ID" not in os.environ
        assert os.environ["SLURM_CONF"] == "/etc/slurm/slurm.conf"
    assert os.environ["SLURM_JOB_ID"] == "7"
