"""Runs to bundles, bundles to arrays, within what the cluster allows.

There are never more jobs than it allows: where there are more runs, a job trains several, one
after another, and asks to be started again when its time is up. Where there is room for some
of the jobs only, the others are held, and submitted by the jobs that end.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hpcexp.errors import HpcexpError
from hpcexp.launch.plan import bundle_runs
from hpcexp.launch.slurm.limits import Limits, ask_limits
from hpcexp.launch.slurm.queue import Place, QueueAnswer, ask_array, ask_slurm
from hpcexp.launch.slurm.sbatch import (
    NoRoomError,
    RefusedError,
    give_up,
    mark_submitted,
    submit,
)
from hpcexp.store.deciding import read_deciding
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.searching import is_searching, read_search_job
from hpcexp.store.submissions import (
    Stage,
    Submission,
    index_jobs,
    make_submission,
    number_next,
    read_submissions,
    write_submission,
)
from hpcexp.template import Resources
from hpcexp.worker.packing import find_lane_keys

Bundles = Sequence[Sequence[str]]

_FULL = "as many jobs as the cluster allows are in the queue"


def hand_over(
    experiment: ExperimentDir,
    run_names: Sequence[str],
    resources: Resources,
    *,
    is_changed: bool = False,
) -> list[Submission]:
    """Submit runs under the submission lock; returns what was submitted and what is held.

    `is_changed` says that the resources are not those of the plan.
    Raises NoRoomError where not a single job can be submitted now: then nothing is.
    """
    limits = ask_limits(qos=resources.qos)
    bundles = bundle_runs(
        run_names,
        resources,
        key_of=find_lane_keys(experiment),
        num_jobs=choose_num_jobs(resources, limits),
    )
    room = find_room(experiment, resources, limits, wanted=len(bundles))
    return _submit_within(experiment, bundles, resources, room=room, is_changed=is_changed)


def choose_num_jobs(resources: Resources, limits: Limits) -> int:
    """The most jobs that a launch may ever have in the queue."""
    allowed = [resources.max_jobs, limits.max_array_size]
    if limits.max_submit_jobs is not None:
        allowed.append(limits.max_submit_jobs)
    return max(1, min(allowed))


@dataclass(frozen=True)
class Room:
    """How many jobs may be submitted now, and in words why not more."""

    num_jobs: int
    reason: str


def find_room(
    experiment: ExperimentDir, resources: Resources, limits: Limits, *, wanted: int
) -> Room:
    """What the cluster's limits leave, and `max_parallel`.

    The `%N` of an array counts its own jobs only. So as long as other jobs of the experiment are
    in the queue, there are never more new ones than may run beside them: then no throttle is
    needed. A job that asks this trains no more, and does not count.
    Raises NoRoomError where Slurm does not say which jobs there are.
    """
    room = Room(wanted if limits.room is None else limits.room, _FULL)
    if resources.max_parallel is None:
        return room
    answer = _ask_own_jobs(experiment)
    if not answer.is_known:
        raise NoRoomError(
            f"squeue did not answer ({answer.problem}): how many jobs may run beside those of "
            "before (max_parallel) is not known; when it answers again: "
            f"hpcexp resume {experiment.name}"
        )
    others = [key for key in answer.live if key != _find_own_place(experiment)]
    left = max(0, resources.max_parallel - len(others))
    if not others or left >= room.num_jobs:
        return room
    return Room(left, f"max_parallel: {resources.max_parallel} jobs of the experiment at a time")


def _find_own_place(experiment: ExperimentDir) -> Place | None:
    """The name and index of the job that this process is part of, if it is one of ours."""
    own = f"{os.environ.get('SLURM_ARRAY_JOB_ID')}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    for record in read_submissions(experiment):
        if own in record.job_ids:
            return record.job_name, record.job_ids.index(own)
    return None


def _submit_within(
    experiment: ExperimentDir,
    bundles: Bundles,
    resources: Resources,
    *,
    room: Room,
    is_changed: bool,
) -> list[Submission]:
    """Submit as many bundles as there is room for, and hold the rest.

    Limits that the cluster did not tell show in its refusals: then half of it is tried.
    Raises NoRoomError where there is no room, and no job of the experiment that would submit
    the rest later.
    """
    record = partial(_record, experiment, resources, is_changed)
    count, problem = room.num_jobs, room.reason
    while count > 0:
        first, rest = bundles[:count], bundles[count:]
        # Held before it is submitted: a command that is killed in between loses none.
        held = [record(rest, Stage.HELD, problem)] if rest else []
        submission = record(first, Stage.SUBMITTING, "")
        try:
            submitted = submit(experiment, submission, resources)
        except (NoRoomError, RefusedError) as error:
            for part in held:
                give_up(experiment, part, "its other part was refused")
            if isinstance(error, RefusedError):
                raise
            problem, count = str(error), len(first) // 2
        else:
            mark_held(experiment)
            return [submitted, *held]
    if _ask_own_jobs(experiment).live:  # which will submit it when they end
        held = [record(bundles, Stage.HELD, problem)]
        mark_held(experiment)
        return held
    raise NoRoomError(
        f"no job can be submitted now: {problem}\n"
        f"the experiment is kept; when some of your jobs have ended: hpcexp resume "
        f"{experiment.name}"
    )


def _ask_own_jobs(experiment: ExperimentDir) -> QueueAnswer:
    return ask_slurm([s for s in read_submissions(experiment) if s.stage == Stage.SUBMITTED])


def _record(
    experiment: ExperimentDir,
    resources: Resources,
    is_changed: bool,
    bundles: Bundles,
    stage: Stage,
    problem: str,
) -> Submission:
    record = make_submission(
        experiment,
        number=number_next(read_submissions(experiment)),
        executor="slurm",
        bundles=bundles,
        stage=stage,
        resources=resources.model_dump(mode="json") if is_changed else None,
        packing=resources.packing,
        runs_per_job=resources.runs_per_job,
    )
    record = dataclasses.replace(record, problem=problem)
    write_submission(experiment, record)
    return record


def mark_held(experiment: ExperimentDir) -> None:
    """Let jobs know whether bundles are held, or what is to follow them: by a file.

    They look for it when they end.
    """
    deciding = read_deciding(experiment)
    is_look_held = deciding is not None and deciding.job is not None and deciding.job.problem
    is_bundle_held = any(s.stage == Stage.HELD for s in read_submissions(experiment))
    if is_bundle_held or is_look_held or _is_search_held(experiment):
        experiment.held_path.touch()
    else:
        experiment.held_path.unlink(missing_ok=True)


def _is_search_held(experiment: ExperimentDir) -> bool:
    if not any(experiment.jobs_dir.glob("search_*")):  # a plan may be long
        return False
    plan = read_plan(experiment)
    job = read_search_job(experiment, plan) if is_searching(plan) else None
    return job is not None and bool(job.problem)


def submit_held(experiment: ExperimentDir, plan_resources: Resources) -> list[Submission]:
    """Submit what is held, as far as there is room now; to be called under the submission lock."""
    submitted: list[Submission] = []
    for record in read_submissions(experiment):
        if record.stage != Stage.HELD or record.is_on_hold:
            continue
        resources = (
            plan_resources
            if record.resources is None
            else Resources.model_validate(dict(record.resources))
        )
        bundles = _list_own_bundles(experiment, record)
        limits = ask_limits(qos=resources.qos)
        try:
            room = find_room(experiment, resources, limits, wanted=len(bundles))
            if room.num_jobs == 0:
                break
            submitted += _submit_within(
                experiment,
                bundles,
                resources,
                room=room,
                is_changed=record.resources is not None,
            )
        except NoRoomError:
            break
        give_up(experiment, record, "submitted in parts")
    mark_held(experiment)
    return [s for s in submitted if s.stage == Stage.SUBMITTED]


def _list_own_bundles(experiment: ExperimentDir, record: Submission) -> list[Sequence[str]]:
    """Bundles that no newer record has: a command may have been killed while it split this one."""
    newest = index_jobs(read_submissions(experiment))
    return [b for b in record.bundles if all(newest[name][0].id == record.id for name in b)]


def settle(experiment: ExperimentDir) -> None:
    """Find out what became of submissions whose command was killed; under the submission lock.

    Jobs that are in the queue, or have been, are adopted by their unique name; a submission
    without any is given up.
    Raises HpcexpError where Slurm does not answer.
    """
    for record in read_submissions(experiment):
        if record.stage != Stage.SUBMITTING:
            continue
        answer = ask_array(record)
        if answer is None:
            raise HpcexpError(
                f"{experiment.name}: a command was killed while it submitted, and squeue does not "
                "answer: its jobs may be in the queue. Try again when `squeue --me` works"
            )
        if answer:
            mark_submitted(experiment, record, answer)
        else:
            give_up(experiment, record, "its command was killed before sbatch accepted it")
