"""Where a search stands that learns from results: what is read, and nothing done.

Apart from `searching`, which changes experiments, and loaded for searches only: `status` is typed
often.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcexp.launch.observe import Observation
from hpcexp.launch.slurm.queue import is_in_queue
from hpcexp.store.searching import (
    GIVEN_UP,
    SearchJob,
    count_samples,
    find_count,
    is_search_cancelled,
    is_searching,
    read_search_job,
)
from hpcexp.store.status import FINISHED


@dataclass(frozen=True)
class SearchStanding:
    """How far a search is: `num_samples` of `count` are made, `num_waiting` runs have not ended.

    `job` makes the next samples; `is_job_live` is whether it is in the queue, None where that is
    not known. `is_cancelled`: nobody goes on by itself.
    """

    num_samples: int
    count: int
    num_waiting: int
    is_cancelled: bool
    job: SearchJob | None
    is_job_live: bool | None

    @property
    def is_over(self) -> bool:
        """Whether all samples are made."""
        return self.num_samples >= self.count


def find_search_standing(observation: Observation) -> SearchStanding | None:
    """How far the search of an experiment is; None where it has none. May ask Slurm once."""
    plan, experiment = observation.plan, observation.experiment
    count = find_count(plan)
    if count is None:
        return None
    ended = FINISHED | GIVEN_UP
    num_waiting = sum(s.state not in ended for s in observation.statuses.values())
    job = read_search_job(experiment, plan) if is_searching(plan) else None
    asks = job is not None and job.job_id and observation.copied_from is None
    return SearchStanding(
        num_samples=count_samples(plan),
        count=count,
        num_waiting=num_waiting,
        is_cancelled=is_search_cancelled(experiment, plan),
        job=job,
        is_job_live=is_in_queue(job.job_name) if job is not None and asks else None,
    )
