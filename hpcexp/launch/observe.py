"""What becomes of each run: its directory first, then its owner, then its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcexp.errors import HpcexpError
from hpcexp.launch.explain import explain_silence
from hpcexp.launch.slurm.queue import QueueAnswer, ask_slurm
from hpcexp.store.copies import CopyRecord, read_copy_record
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import read_live_owner, read_silence_s
from hpcexp.store.status import SETTLED, RunStatus, State
from hpcexp.store.statuses import read_one, read_settled
from hpcexp.store.submissions import Stage, Submission, index_jobs, read_submissions

SILENCE_WORTH_A_QUESTION_S = 90.0
ACTIVE = frozenset({State.SUBMITTED, State.RUNNING})


@dataclass(frozen=True)
class Observation:
    """An experiment and the states of its runs, in the plan's order.

    `is_queue_known` is false where Slurm was asked and did not answer: runs that are not
    known to have ended may then be waiting or training. `copied_from` is where a copy comes from,
    whose states are those of the time when it was made.
    """

    experiment: ExperimentDir
    plan: Plan
    statuses: Mapping[str, RunStatus]
    submissions: Sequence[Submission]
    is_queue_known: bool = True
    copied_from: CopyRecord | None = None

    @property
    def site(self) -> str:
        """Where its runs train, or did: a site's or a host's name; empty where that is not said."""
        if self.copied_from is not None:
            return self.copied_from.label
        return str(self.plan.site.get("name", ""))

    def count(self, *states: State) -> int:
        """Runs in any of the states."""
        return sum(status.state in states for status in self.statuses.values())

    def names_in(self, *states: State) -> list[str]:
        """Names of the runs in any of the states."""
        return [name for name, status in self.statuses.items() if status.state in states]

    def names_held(self) -> set[str]:
        """Runs that wait for room under the cluster's limits, and have no job yet."""
        jobs = index_jobs(self.submissions)
        return {
            name
            for name, (submission, _) in jobs.items()
            if submission.stage == Stage.HELD and self.statuses[name].state not in SETTLED
        }


@dataclass(frozen=True)
class _Look:
    """What the directory of an experiment says by itself; `silent` runs need an explanation."""

    experiment: ExperimentDir
    plan: Plan
    statuses: Mapping[str, RunStatus]
    submissions: Sequence[Submission]
    silent: Sequence[str]
    places: Mapping[str, tuple[Submission, int]]
    copied_from: CopyRecord | None = None

    def list_asked(self) -> list[Submission]:
        """The submissions whose jobs explain the silence."""
        asked = {
            self.places[name][0].id: self.places[name][0]
            for name in self.silent
            if name in self.places
        }
        return [s for s in asked.values() if s.stage != Stage.HELD]


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
    """Runs that have not settled are looked at one by one, if they have begun."""
    plan = read_plan(experiment)
    statuses = read_settled(experiment, [run.name for run in plan.runs])
    for name, status in statuses.items():
        if status.state not in SETTLED | {State.PENDING}:
            statuses[name] = read_one(experiment, name)
    submissions = read_submissions(experiment)
    copied_from = read_copy_record(experiment)
    # Of a copy nobody here knows more than its files say.
    asked = statuses.items() if copied_from is None else ()
    silent = [n for n, status in asked if _is_silent(experiment, n, status)]
    places = index_jobs(submissions)
    return _Look(experiment, plan, statuses, submissions, silent, places, copied_from)


def _is_silent(experiment: ExperimentDir, name: str, status: RunStatus) -> bool:
    if status.state in SETTLED or status.state == State.LOST:
        return False
    return status.state != State.RUNNING or not _shows_life(experiment, name)


def _shows_life(experiment: ExperimentDir, name: str) -> bool:
    run_dir = experiment.run(name)
    try:
        owner = read_live_owner(run_dir)
    except HpcexpError:
        return False
    return owner is not None and read_silence_s(run_dir, owner) <= SILENCE_WORTH_A_QUESTION_S


def _explain(looks: Sequence[_Look]) -> list[Observation]:
    answer = ask_slurm([submission for look in looks for submission in look.list_asked()])
    return [_conclude(look, answer) for look in looks]


def _conclude(look: _Look, answer: QueueAnswer) -> Observation:
    explained = {name: _conclude_one(look, name, answer) for name in look.silent}
    asks_slurm = any(s.executor == "slurm" for s in look.list_asked())
    return Observation(
        experiment=look.experiment,
        plan=look.plan,
        statuses={**look.statuses, **explained},
        submissions=look.submissions,
        is_queue_known=answer.is_known or not asks_slurm,
        copied_from=look.copied_from,
    )


def _conclude_one(look: _Look, name: str, answer: QueueAnswer) -> RunStatus:
    """A run whose job does not wait may have begun, or ended, since it was looked at."""
    place, status = look.places.get(name), look.statuses[name]
    job = answer.live.get((place[0].job_name, place[1])) if place else None
    if job is None or not job.is_waiting:
        status = read_one(look.experiment, name)
        if not _is_silent(look.experiment, name, status):
            return status
    return explain_silence(look.experiment, status, place, answer)
