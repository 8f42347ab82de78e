"""Changing jobs that wait in the queue: throttle, partition, time limit, hold and release."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.slurm.commands import run_command
from hpcexp.launch.slurm.hand_over import submit_held
from hpcexp.launch.slurm.queue import QueueAnswer, ask_slurm
from hpcexp.launch.submit import read_resources, settle_all, submitting
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Stage, Submission, read_submissions, write_submission
from hpcexp.template import Resources

MAX_IDS_PER_CALL = 200
CHANGEABLE = ("max_parallel", "partition", "timeout")
NO_THROTTLE = 0


@dataclass(frozen=True)
class Changed:
    """How many jobs were changed, were left since they train already, or have yet to be submitted.

    `num_arrays` have a new throttle.
    """

    num_waiting: int
    num_at_work: int
    num_unsubmitted: int
    num_arrays: int = 0


@dataclass(frozen=True)
class _Queued:
    """A submission that has jobs in the queue, or will have; ids of those that wait."""

    submission: Submission
    waiting: tuple[str, ...]
    at_work: tuple[str, ...]

    @property
    def array_id(self) -> str:
        return self.submission.job_ids[0].partition("_")[0]


def change_jobs(experiment: ExperimentDir, changes: Mapping[str, Any]) -> Changed:
    """Have waiting jobs ask for something else; those that train keep what they have.

    `changes` are of `max_parallel` (0: as many as there are; it counts for running jobs too),
    `partition` and `timeout`. The record of each submission keeps them.
    Raises UsageError where no job waits, HpcexpError where Slurm does not answer or refuses.
    """
    options = {
        "Partition": changes.get("partition"),
        "TimeLimit": _spell_limit(changes["timeout"]) if "timeout" in changes else None,
    }
    spelled = [f"{name}={value}" for name, value in options.items() if value is not None]
    with submitting(experiment):
        settle_all(experiment)
        plan = read_plan(experiment)
        found = _find_queued(experiment)
        throttled = [q for q in found if "max_parallel" in changes and q.waiting]
        shares = share_throttle(changes.get("max_parallel", NO_THROTTLE), len(throttled))
        for queued, share in zip(throttled, shares, strict=True):
            throttle = f"ArrayTaskThrottle={share}"
            _call("scontrol", "update", f"JobId={queued.array_id}", throttle)
        for queued in found:
            if spelled:
                for ids in _split(queued.waiting):
                    _call("scontrol", "update", f"JobId={ids}", *spelled)
            _record(experiment, plan, queued.submission, changes)
    return _count(found, len(throttled))


def share_throttle(num_jobs: int, num_arrays: int) -> list[int]:
    """How many jobs of each array may run, so that `num_jobs` of them all do.

    Slurm throttles arrays one by one, and knows no throttle below 1: of more arrays than jobs
    each runs one.
    """
    if num_jobs == NO_THROTTLE:
        return [NO_THROTTLE] * num_arrays
    return [
        max(1, num_jobs // num_arrays + (index < num_jobs % num_arrays))
        for index in range(num_arrays)
    ]


def hold_jobs(experiment: ExperimentDir) -> Changed:
    """Keep waiting jobs from beginning, and those that are not submitted from being so.

    Raises as `change_jobs` does.
    """
    with submitting(experiment):
        settle_all(experiment)
        found = _find_queued(experiment)
        for queued in found:
            # Written first: a job that ends meanwhile submits no others.
            write_submission(experiment, dataclasses.replace(queued.submission, is_on_hold=True))
            for ids in _split(queued.waiting):
                # Not `hold`, which for an operator is one that only operators release.
                _call("scontrol", "uhold", ids)
    return _count(found)


def release_jobs(experiment: ExperimentDir) -> Changed:
    """Let jobs begin that are on hold, and submit what was not.

    Raises as `change_jobs` does.
    """
    with submitting(experiment):
        settle_all(experiment)
        found = _find_queued(experiment)
        for queued in found:
            for ids in _split(queued.waiting):
                _call("scontrol", "release", ids)
            write_submission(experiment, dataclasses.replace(queued.submission, is_on_hold=False))
        submit_held(experiment, read_resources(read_plan(experiment)))
    return _count(found)


def _find_queued(experiment: ExperimentDir) -> list[_Queued]:
    records = [s for s in read_submissions(experiment) if s.executor == "slurm"]
    answer = ask_slurm([s for s in records if s.stage == Stage.SUBMITTED])
    if not answer.is_known:
        raise HpcexpError(
            f"{experiment.name}: squeue did not answer ({answer.problem}); nothing was changed. "
            "Try again when `squeue --me` works"
        )
    found = [
        _look_at(record, answer)
        for record in records
        if record.stage in (Stage.SUBMITTED, Stage.HELD)
    ]
    found = [q for q in found if q.waiting or q.at_work or q.submission.stage == Stage.HELD]
    if not any(q.waiting or q.submission.stage == Stage.HELD for q in found):
        doing = "its jobs train already" if found else "it has no jobs in the queue of Slurm"
        raise UsageError(f"{experiment.name}: {doing}; nothing was changed")
    return found


def _look_at(record: Submission, answer: QueueAnswer) -> _Queued:
    waiting: list[str] = []
    at_work: list[str] = []
    for index, job_id in enumerate(record.job_ids):
        job = answer.live.get((record.job_name, index))
        if job is not None:
            (waiting if job.is_waiting else at_work).append(job_id)
    return _Queued(record, tuple(waiting), tuple(at_work))


def _record(
    experiment: ExperimentDir, plan: Plan, submission: Submission, changes: Mapping[str, Any]
) -> None:
    """What its jobs ask for from now on, where that is not what the plan says."""
    before = plan.resources if submission.resources is None else submission.resources
    kept = {**changes}
    if "max_parallel" in kept:
        kept["max_parallel"] = kept["max_parallel"] or None
    resources = Resources.model_validate({**before, **kept}).model_dump(mode="json")
    write_submission(experiment, dataclasses.replace(submission, resources=resources))


def _call(*command: str) -> None:
    done = run_command(*command)
    if not done.is_ok:
        raise HpcexpError(f"{' '.join(command[:2])} was refused: {done.problem}")


def _split(job_ids: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(job_ids), MAX_IDS_PER_CALL):
        yield ",".join(job_ids[start : start + MAX_IDS_PER_CALL])


def _spell_limit(timeout: str) -> str:
    return str(Resources(timeout=timeout).timeout_min)


def _count(found: Iterable[_Queued], num_arrays: int = 0) -> Changed:
    queued = list(found)
    return Changed(
        num_waiting=sum(len(q.waiting) for q in queued),
        num_at_work=sum(len(q.at_work) for q in queued),
        num_unsubmitted=sum(
            len(q.submission.bundles) for q in queued if q.submission.stage == Stage.HELD
        ),
        num_arrays=num_arrays,
    )
