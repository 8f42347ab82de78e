"""Whether a search that learns from results is still to make samples, and who goes on with it.

Its plan tells how far it is. Beside it there is the job that makes the next samples, and whether
somebody has cancelled the experiment: both stand in a folder of the number of samples that are
made, so that a search that has gone on is past them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hpcexp.sampling import find_sample_number, parse_space
from hpcexp.store.experiment import Plan
from hpcexp.store.files import build_record, read_json, write_json
from hpcexp.store.follow_up import FollowUpJob
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import FAILED, State

GIVEN_UP = FAILED | {State.CANCELLED, State.LOST}
"""A search goes on without the results of such runs."""


@dataclass(frozen=True, kw_only=True)
class SearchJob(FollowUpJob):
    """The job that makes the samples after the first `num_samples`."""

    num_samples: int


def count_samples(plan: Plan) -> int:
    """Samples that have been made."""
    return sum(find_sample_number(group.name) is not None for group in plan.groups)


def find_count(plan: Plan) -> int | None:
    """Samples that a search makes in all; None where the experiment is no search."""
    space, _ = parse_space(plan.sample) if plan.sample else (None, None)
    return space.count if space is not None and space.is_adaptive else None


def is_searching(plan: Plan) -> bool:
    """Whether more samples are to come, chosen by results."""
    count = find_count(plan)
    return count is not None and count_samples(plan) < count


def read_search_job(experiment: ExperimentDir, plan: Plan) -> SearchJob | None:
    """The job that makes the next samples; None where there was none.

    Raises HpcexpError where its record is damaged.
    """
    path = experiment.search_job_path(count_samples(plan))
    if not path.exists():
        return None
    job = build_record(read_json(path), SearchJob, path=path)
    return dataclasses.replace(job, after=tuple(job.after))


def write_search_job(experiment: ExperimentDir, job: SearchJob) -> None:
    """Write or replace it, whole; under the submission lock."""
    path = experiment.search_job_path(job.num_samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, dataclasses.asdict(job))


def cancel_search(experiment: ExperimentDir, plan: Plan) -> None:
    """Let nobody go on with it by itself; under the submission lock."""
    path = experiment.search_cancelled_path(count_samples(plan))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def restore_search(experiment: ExperimentDir, plan: Plan) -> None:
    """Somebody goes on with a search that was cancelled."""
    experiment.search_cancelled_path(count_samples(plan)).unlink(missing_ok=True)


def is_search_cancelled(experiment: ExperimentDir, plan: Plan) -> bool:
    """Whether somebody has cancelled the experiment since the newest samples were made."""
    return experiment.search_cancelled_path(count_samples(plan)).exists()
