"""The small job that goes on with a search when the jobs of its newest samples have ended."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time

from hpcexp.launch.slurm.hand_over import mark_held
from hpcexp.launch.slurm.look import list_live_arrays, write_dependent_script
from hpcexp.launch.slurm.queue import find_array
from hpcexp.launch.slurm.sbatch import call_sbatch
from hpcexp.launch.slurm.script import check_path
from hpcexp.store.experiment import read_plan
from hpcexp.store.files import write_text
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.searching import (
    SearchJob,
    count_samples,
    is_search_cancelled,
    is_searching,
    read_search_job,
    write_search_job,
)
from hpcexp.store.submissions import Submission
from hpcexp.template import Resources


def submit_search(experiment: ExperimentDir, resources: Resources) -> None:
    """Submit the job that makes the next samples, under the submission lock, unless it waits.

    Its name tells which samples and arrays it waits for, so that the queue alone says whether it
    is there. Where no job of the experiment is in the queue there is nothing to wait for. Where the
    cluster takes no more jobs, those that end try again.
    """
    plan = read_plan(experiment)
    if not is_searching(plan) or is_search_cancelled(experiment, plan):
        return
    after = list_live_arrays(experiment)
    number = count_samples(plan)
    name = _make_name(experiment, number, after)
    if os.environ.get("SLURM_JOB_NAME") == name:  # this job, which cannot wait for them any more
        name = _make_name(experiment, number, after, again=os.environ.get("SLURM_JOB_ID", ""))
    if not after:
        return
    job = SearchJob(name, after, time.time(), num_samples=number)
    if job_id := find_array(name):
        before = read_search_job(experiment, plan)
        if before is None or not before.job_id:  # a command was killed when it was submitted
            write_search_job(experiment, dataclasses.replace(job, job_id=job_id))
        return
    # Not resolved through symlinks: compute nodes may mount a file system elsewhere.
    place = ExperimentDir(type(experiment.path)(os.path.abspath(experiment.path)))  # noqa: PTH100
    check_path(place.path)
    folder = place.search_dir(number)
    path = folder / "search.sh"
    # A job of which nobody knows makes its samples all the same, or finds them made.
    write_search_job(experiment, job)
    named = Submission(name, "slurm", name, job.created, ((),))
    text = write_dependent_script(
        place, "search", named, folder=folder, after=after, resources=resources
    )
    write_text(path, text)
    job_id, done = call_sbatch(path, job_name=name)
    job = dataclasses.replace(job, job_id=job_id, problem="" if job_id else done.problem)
    write_search_job(experiment, job)
    mark_held(experiment)


def _make_name(
    experiment: ExperimentDir, number: int, after: tuple[str, ...], *, again: str = ""
) -> str:
    place = str(experiment.path.resolve())
    digest = hashlib.blake2s(f"{place}:{after}:{again}".encode(), digest_size=3).hexdigest()
    return f"{experiment.short_name}.{experiment.timestamp}.search{number}.{digest}"
