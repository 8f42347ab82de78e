"""A search that learns from results, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpcexp.cli.sizes import count as count_of

if TYPE_CHECKING:
    from hpcexp.launch.search_standing import SearchStanding
    from hpcexp.launch.searching import SearchStep
    from hpcexp.store.layout import ExperimentDir


def describe_new(step: SearchStep) -> Iterator[str]:
    """The samples that were made, and those that were refused."""
    from hpcexp.template import show

    if step.refused:
        yield (
            f"! {count_of(len(step.refused), 'sample')} that the workload refuses, others were "
            f"drawn instead: {step.refused[0]}"
        )
    if step.new:
        yield f"{step.num_samples} of {step.space.count} samples; new:"
    for group in step.new:
        values = ", ".join(f"{name}={show(value)}" for name, value in group.values.items())
        yield f"  {group.name}   {values}"


def describe_state(experiment: ExperimentDir, step: SearchStep) -> Iterator[str]:
    """Where the search stands at the end of a command."""
    if step.failed:
        more = f" and {len(step.failed) - 1} more" if len(step.failed) > 1 else ""
        yield f"! {step.failed[0]}{more} failed or was given up: nothing was learnt from it"
    if step.is_over:
        yield f"all {step.num_samples} samples have ended"
        yield f"results   hpcexp plot {experiment.name}"
        return
    num_left = step.space.count - step.num_samples
    if step.is_cancelled:
        yield f"cancelled {num_left} samples before its end"
        yield f"continue  hpcexp search {experiment.name}"
    elif num_left:
        yield (
            f"{num_left} samples are to come when {len(step.waiting)} runs have ended; "
            f"hpcexp search {experiment.name} goes on if nothing else does"
        )


def describe_standing(name: str, standing: SearchStanding) -> Iterator[str]:
    """For `status`: how far it is, who makes the next samples, or what to type."""
    made = f"search:  {standing.num_samples} of {count_of(standing.count, 'sample')}"
    if standing.is_over:
        return
    by_hand = f"hpcexp search {name} goes on"
    job = standing.job
    if standing.is_cancelled:
        yield f"{made}; cancelled: {by_hand}"
    elif standing.is_job_live and job is not None:
        yield f"{made}; job {job.job_id} makes the next when the jobs before it have ended"
    elif standing.num_waiting == 0:
        yield f"{made}; the next are due: {by_hand}"
    elif job is not None and job.problem:
        yield f"{made}; the job that makes the next is not in the queue yet: {job.problem}"
    elif job is not None and standing.is_job_live is False:
        yield (
            f"{made}; job {job.job_id}, which was to make the next, is not in the queue any more: "
            f"hpcexp resume {name} submits another"
        )
    else:
        have = "has" if standing.num_waiting == 1 else "have"
        yield f"{made}; the next when {count_of(standing.num_waiting, 'run')} {have} ended"
