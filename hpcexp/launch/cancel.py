"""Cancelling runs, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcexp.launch.observe import Observation, observe
from hpcexp.launch.selection import select_runs
from hpcexp.launch.slurm.executor import cancel_jobs
from hpcexp.launch.slurm.queue import find_array
from hpcexp.launch.submit import submitting
from hpcexp.store.deciding import read_deciding
from hpcexp.store.follow_up import FollowUpJob
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.searching import cancel_search, is_searching, read_search_job
from hpcexp.store.status import SETTLED, State, read_status, write_status


@dataclass(frozen=True)
class Cancelled:
    """Runs that were cancelled at once, and those that will stop at their next step.

    `search` says that a search makes no more samples, until somebody goes on with it.
    """

    ended: tuple[str, ...]
    stopping: tuple[str, ...]
    search: bool = False


def cancel(
    experiment: ExperimentDir,
    run_names: Sequence[str] = (),
    *,
    states: Sequence[State] = (),
) -> Cancelled:
    """End runs: waiting ones at once, training ones at their next step, with a checkpoint.

    Where none is chosen everything ends: also what would go on by itself when the runs have ended.
    """
    with submitting(experiment):
        observation = observe(experiment)
        is_searching_on = False
        if not run_names and not states:
            is_searching_on = _end_what_follows(observation)
        chosen = [
            name
            for name in select_runs(observation, run_names, states=states)
            if observation.statuses[name].state not in SETTLED
        ]
        for name in chosen:
            experiment.run(name).cancel_path.touch()
        cancel_jobs(_find_job_ids(observation, chosen))
        training = {n for n in chosen if observation.statuses[n].state == State.RUNNING}
        for name in chosen:
            if name not in training:
                _mark_cancelled(experiment, name)
    return Cancelled(
        ended=tuple(n for n in chosen if n not in training),
        stopping=tuple(n for n in chosen if n in training),
        search=is_searching_on,
    )


def _end_what_follows(observation: Observation) -> bool:
    """Have no job look at the results or make more samples; whether a search ended so."""
    experiment, plan = observation.experiment, observation.plan
    deciding = read_deciding(experiment)
    jobs: list[FollowUpJob | None] = []
    if deciding is not None and not deciding.is_over:
        jobs.append(deciding.job)
    is_searching_on = is_searching(plan)
    if is_searching_on:
        cancel_search(experiment, plan)  # first: its job may begin now
        jobs.append(read_search_job(experiment, plan))
    # By their names: after months an id may be that of another job.
    found = [find_array(job.job_name) for job in jobs if job is not None]
    cancel_jobs([job_id for job_id in found if job_id])
    return is_searching_on


def _mark_cancelled(experiment: ExperimentDir, name: str) -> None:
    run_dir = experiment.run(name)
    status = read_status(run_dir)
    cancelled = status.replace(
        state=State.CANCELLED,
        reason="cancelled by the user",
        hint=f"hpcexp resume {experiment.name} {name} trains it after all",
    )
    write_status(run_dir, cancelled)


def _find_job_ids(observation: Observation, run_names: Sequence[str]) -> list[str]:
    """Slurm jobs all of whose runs are among the named ones."""
    wanted = set(run_names)
    return [
        job_id
        for submission in observation.submissions
        if submission.executor == "slurm"
        for bundle, job_id in zip(submission.bundles, submission.job_ids, strict=False)
        if wanted.issuperset(bundle)
    ]
