"""Cancelling runs, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcexp.launch.observe import Observation, observe
from hpcexp.launch.selection import select_runs
from hpcexp.launch.slurm.executor import cancel_jobs
from hpcexp.launch.submit import submitting
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import SETTLED, State, read_status, write_status


@dataclass(frozen=True)
class Cancelled:
    """Runs that were cancelled at once, and those that will stop at their next step."""

    ended: tuple[str, ...]
    stopping: tuple[str, ...]


def cancel(
    experiment: ExperimentDir,
    run_names: Sequence[str] = (),
    *,
    states: Sequence[State] = (),
) -> Cancelled:
    """End runs: waiting ones at once, training ones at their next step, with a checkpoint."""
    with submitting(experiment):
        observation = observe(experiment)
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
    )


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
