"""The job that goes on with a search: where the cluster refuses it, and whether it lives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hpcexp.cli.search_view import describe_standing
from hpcexp.launch.cancel import cancel
from hpcexp.launch.observe import observe
from hpcexp.launch.search_standing import SearchStanding, find_search_standing
from hpcexp.launch.slurm import commands
from hpcexp.launch.slurm.search import submit_search
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.searching import SearchJob, read_search_job, write_search_job
from hpcexp.store.status import RunStatus, State, read_status, write_status
from hpcexp.store.submissions import make_submission, write_submission
from hpcexp.template import Resources
from tests.launch.slurm.test_look import Queue
from tests.launch.test_searching import make

RESOURCES = Resources(partition="gpu")


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """A search whose first four runs wait in array 77."""
    experiment = make(tmp_path)
    bundles = [[run.name] for run in read_plan(experiment).runs]
    submission = make_submission(experiment, number=1, executor="slurm", bundles=bundles)
    job_ids = tuple(f"77_{index}" for index in range(len(bundles)))
    write_submission(experiment, dataclasses.replace(submission, job_ids=job_ids, job_name="runs"))
    return experiment


def read_job(experiment: ExperimentDir) -> SearchJob:
    job = read_search_job(experiment, read_plan(experiment))
    assert job is not None
    return job


def test_it_is_submitted_once_and_recorded(experiment: ExperimentDir) -> None:
    with commands.using(queue := Queue({"77_[0-3]": "runs"})):
        submit_search(experiment, RESOURCES)
        job = read_job(experiment)
        queue.live["901"] = job.job_name
        submit_search(experiment, RESOURCES)
    (script,) = queue.scripts
    assert "#SBATCH --dependency=afterany:77" in script.splitlines()
    assert (job.num_samples, job.after, job.job_id, job.problem) == (4, ("77",), "901", "")


def test_one_that_was_submitted_by_a_killed_command_is_found(experiment: ExperimentDir) -> None:
    with commands.using(queue := Queue({"77_[0-3]": "runs"})):
        submit_search(experiment, RESOURCES)
        job = read_job(experiment)
        write_search_job(experiment, dataclasses.replace(job, job_id=""))
        queue.live["901"] = job.job_name
        submit_search(experiment, RESOURCES)
    assert len(queue.scripts) == 1
    assert read_job(experiment).job_id == "901"


def test_where_the_queue_is_full_jobs_that_end_try_again(experiment: ExperimentDir) -> None:
    queue = Queue({"77_[0-3]": "runs"}, refusal="QOSMaxSubmitJobPerUserLimit: MaxSubmitJobs")
    with commands.using(queue):
        submit_search(experiment, RESOURCES)
        assert "MaxSubmitJobs" in read_job(experiment).problem
        assert experiment.held_path.exists()
        queue.refusal = ""
        submit_search(experiment, RESOURCES)
    assert (read_job(experiment).job_id, read_job(experiment).problem) == ("901", "")
    assert not experiment.held_path.exists()


def test_who_cancels_everything_cancels_it_too(experiment: ExperimentDir) -> None:
    with commands.using(queue := Queue({"77_[0-3]": "runs"})):
        submit_search(experiment, RESOURCES)
        queue.live["901"] = read_job(experiment).job_name
        assert cancel(experiment).search
        submit_search(experiment, RESOURCES)
    assert ("scancel", "--quiet", "901") in queue.asked
    assert len(queue.scripts) == 1


# -------------------------------------------------------------------------------- status


def find_standing(experiment: ExperimentDir) -> SearchStanding:
    standing = find_search_standing(observe(experiment))
    assert standing is not None
    return standing


@pytest.mark.parametrize(
    ("happened", "is_live", "said"),
    [
        ("it waits", True, "4 of 9 samples; job 901 makes the next when the jobs before it"),
        ("it was cancelled", False, "job 901, which was to make the next, is not in the queue any"),
        ("squeue is silent", None, "4 of 9 samples; the next when 4 runs have ended"),
        ("all was cancelled", False, "4 of 9 samples; cancelled: hpcexp search x goes on"),
        ("all have ended", False, "4 of 9 samples; the next are due: hpcexp search x goes on"),
    ],
)
def test_status_tells_who_goes_on(
    experiment: ExperimentDir, happened: str, is_live: bool | None, said: str
) -> None:
    with commands.using(queue := Queue({"77_[0-3]": "runs"})):
        submit_search(experiment, RESOURCES)
        if happened == "it waits":
            queue.live["901"] = read_job(experiment).job_name
        if happened == "all was cancelled":
            cancel(experiment)
        if happened == "all have ended":
            for run in read_plan(experiment).runs:
                write_status(experiment.run(run.name), RunStatus(state=State.COMPLETED))
        queue.is_silent = happened == "squeue is silent"
        standing = find_standing(experiment)
    assert standing.is_job_live is is_live
    (line,) = describe_standing("x", standing)
    assert said in line


def test_a_search_that_is_over_asks_nothing(tmp_path: Path) -> None:
    experiment = make(tmp_path, count=4)
    for run in read_plan(experiment).runs:
        status = read_status(experiment.run(run.name)).replace(state=State.COMPLETED)
        write_status(experiment.run(run.name), status)
    with commands.using(queue := Queue()):
        standing = find_standing(experiment)
    assert (standing.is_over, queue.asked) == (True, [])
    assert list(describe_standing("x", standing)) == []
