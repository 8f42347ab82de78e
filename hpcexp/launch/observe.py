"""What becomes of each run: its directory first, then its owner, then its job."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcexp.errors import HpcexpError
from hpcexp.launch.queue import Job, QueueAnswer, ask_slurm
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import read_live_owner, read_process_start, read_silence_s
from hpcexp.store.status import FINISHED, RunStatus, State, read_status
from hpcexp.store.submissions import Submission, read_submissions

SETTLED = FINISHED | {State.FAILED, State.CANCELLED}
SILENCE_WORTH_A_QUESTION_S = 90.0
ACTIVE = frozenset({State.SUBMITTED, State.RUNNING})


@dataclass(frozen=True)
class Observation:
    """An experiment and the states of its runs, in the plan's order.

    `is_queue_known` is false where Slurm was asked and did not answer: runs that are not
    known to have ended may then be waiting or training.
    """

    experiment: ExperimentDir
    plan: Plan
    statuses: Mapping[str, RunStatus]
    submissions: Sequence[Submission]
    is_queue_known: bool = True

    def count(self, *states: State) -> int:
        """Runs in any of the states."""
        return sum(status.state in states for status in self.statuses.values())

    def names_in(self, *states: State) -> list[str]:
        """Names of the runs in any of the states."""
        return [name for name, status in self.statuses.items() if status.state in states]


@dataclass(frozen=True)
class _Look:
    """What the directory of an experiment says by itself; `silent` runs need an explanation."""

    experiment: ExperimentDir
    plan: Plan
    statuses: Mapping[str, RunStatus]
    submissions: Sequence[Submission]
    silent: Sequence[str]

    def places(self) -> dict[str, tuple[Submission, int]]:
        """The newest submission of each silent run, and its place in it."""
        jobs = _index_jobs(self.submissions)
        return {name: jobs[name] for name in self.silent if name in jobs}


def observe(experiment: ExperimentDir) -> Observation:
    """Look at all runs of an experiment; asks Slurm once, and only where something is silent."""
    return _explain([_look_at(experiment)])[0]


def observe_all(
    experiments: Sequence[ExperimentDir],
) -> tuple[list[Observation], dict[str, str]]:
    """Observations of several experiments with one question to Slurm for all of them.

    Those that cannot be read are left out, and named with what is wrong.
    """
    looks, problems = [], {}
    for experiment in experiments:
        try:
            looks.append(_look_at(experiment))
        except HpcexpError as error:
            problems[experiment.name] = str(error)
    return _explain(looks), problems


def _look_at(experiment: ExperimentDir) -> _Look:
    plan = read_plan(experiment)
    statuses = {run.name: _read(experiment, run.name) for run in plan.runs}
    silent = [name for name, status in statuses.items() if _is_silent(experiment, name, status)]
    return _Look(experiment, plan, statuses, read_submissions(experiment), silent)


def _explain(looks: Sequence[_Look]) -> list[Observation]:
    asked = {
        submission.job_name: submission
        for look in looks
        for submission, _ in look.places().values()
    }
    answer = ask_slurm(list(asked.values()))
    return [_conclude(look, answer) for look in looks]


def _conclude(look: _Look, answer: QueueAnswer) -> Observation:
    places = look.places()
    explained = {
        name: _explain_silence(look.statuses[name], places.get(name), answer)
        for name in look.silent
    }
    asks_slurm = any(submission.executor == "slurm" for submission, _ in places.values())
    return Observation(
        experiment=look.experiment,
        plan=look.plan,
        statuses={**look.statuses, **explained},
        submissions=look.submissions,
        is_queue_known=answer.live is not None or not asks_slurm,
    )


def _read(experiment: ExperimentDir, name: str) -> RunStatus:
    try:
        return read_status(experiment.run(name))
    except HpcexpError as error:
        return RunStatus(state=State.LOST, reason=str(error))


def _is_silent(experiment: ExperimentDir, name: str, status: RunStatus) -> bool:
    if status.state in SETTLED or status.state == State.LOST:
        return False
    if status.state == State.RUNNING:
        run_dir = experiment.run(name)
        owner = read_live_owner(run_dir)
        return owner is None or read_silence_s(run_dir, owner) > SILENCE_WORTH_A_QUESTION_S
    return True


def _index_jobs(submissions: Sequence[Submission]) -> dict[str, tuple[Submission, int]]:
    """The newest job of each run."""
    return {
        name: (submission, index)
        for submission in submissions
        for index, bundle in enumerate(submission.bundles)
        for name in bundle
    }


def _explain_silence(
    status: RunStatus,
    place: tuple[Submission, int] | None,
    answer: QueueAnswer,
) -> RunStatus:
    if place is None:
        return _settle_silence(status, reason="it was never handed to a job")
    submission, index = place
    if submission.executor != "slurm":
        if status.state != State.RUNNING and _is_driver_alive(submission):
            return status.replace(state=State.SUBMITTED, reason="waits for its turn on this machine")
        return _settle_silence(status, reason="killed, or its launcher ended")
    if answer.live is None:
        return status.replace(reason="unknown: squeue did not answer")
    return _judge_job(status, submission, index, answer)


def _judge_job(
    status: RunStatus, submission: Submission, index: int, answer: QueueAnswer
) -> RunStatus:
    key = (submission.job_name, index)
    if job := (answer.live or {}).get(key):
        if status.state == State.RUNNING and not job.is_waiting:
            return status
        return status.replace(state=State.SUBMITTED, reason=_describe_live(job))
    ended = answer.ended.get(key)
    if ended is None and not submission.job_ids:
        return _settle_silence(status, reason="sbatch did not accept its job")
    verdict = f"its job ended as {ended.state}" if ended else "its job has left the queue"
    return _settle_silence(status, reason=verdict)


def _describe_live(job: Job) -> str:
    if job.is_waiting:
        return f"waits in the queue ({job.reason})" if job.reason else "waits in the queue"
    return f"its job is {job.state} and has not begun to train"


def _settle_silence(status: RunStatus, *, reason: str) -> RunStatus:
    """Nobody works on the run: it is as it was, or lost if it claims to be running."""
    hint = "hpcexp resume trains it from where it is"
    if status.state == State.RUNNING:
        return status.replace(state=State.LOST, reason=f"its process is gone ({reason})", hint=hint)
    return status.replace(reason=status.reason or reason, hint=hint)


def _is_driver_alive(submission: Submission) -> bool:
    """A launcher on another host is taken to be alive: nothing here can tell."""
    driver = submission.driver
    if driver is None:
        return False
    if driver.host != socket.gethostname():
        return True
    if driver.pid == os.getpid():
        return True
    return read_process_start(driver.pid) == driver.process_start is not None
