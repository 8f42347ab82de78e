"""Which runs are trained again: resumed from outside interruptions, or retried after failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.observe import ACTIVE, Observation, observe
from hpcexp.launch.selection import select_runs
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import evict, read_owner
from hpcexp.store.status import (
    CUT_SHORT,
    FAILED,
    FINISHED,
    RunStatus,
    State,
    read_status,
    write_status,
)


@dataclass(frozen=True)
class Choice:
    """What a user asked to be trained again.

    `names` are runs, groups or patterns; all where there are none. `steal` takes runs from
    owners that may be alive.
    """

    names: Sequence[str] = ()
    states: Sequence[State] = ()
    steal: bool = False


def choose_resumable(observation: Observation, choice: Choice | None = None) -> list[str]:
    """Runs that are unfinished and that nobody works on; cancelled ones only if asked for.

    Runs that are held are left to the jobs that will submit them.
    Raises UsageError for unknown names and for results from elsewhere, HpcexpError where Slurm
    did not answer: then a run may be waiting in the queue, and submitting it would train it twice.
    """
    choice = choice or Choice()
    if observation.plan.is_imported:
        raise UsageError(
            f"{observation.experiment.name}: its results were imported, and its runs trained "
            "elsewhere; there is nothing to train again here"
        )
    _check_queue(observation)
    chosen = select_runs(observation, choice.names, states=choice.states)
    skipped = set(FINISHED)
    if not choice.steal:
        skipped |= ACTIVE
    if not choice.names and not choice.states:
        skipped.add(State.CANCELLED)
    held = observation.names_held()
    return [n for n in chosen if observation.statuses[n].state not in skipped and n not in held]


def choose_retriable(observation: Observation, choice: Choice | None = None) -> list[str]:
    """Runs that failed, or whose process or node did; others only if their state is asked for.

    Raises UsageError for unknown names and for states that cannot be retried, HpcexpError where
    Slurm did not answer.
    """
    choice = choice or Choice()
    finished = [state.words for state in choice.states if state in FINISHED]
    if finished:
        raise UsageError(
            f"a run that is {finished[0]} has ended of its own, and would end so again; "
            "hpcexp replay shows why one diverged, hpcexp extend trains groups with other settings"
        )
    states = choice.states or sorted(FAILED | CUT_SHORT)
    return choose_resumable(observation, Choice(choice.names, states, choice.steal))


def _check_queue(observation: Observation) -> None:
    if not observation.is_queue_known:
        raise HpcexpError(
            "squeue did not answer: runs may be waiting or training; nothing was submitted. "
            "Try again when `squeue --me` works"
        )


def make_chooser(
    experiment: ExperimentDir,
    choice: Choice,
    *,
    choose: Callable[[Observation, Choice], list[str]] = choose_resumable,
) -> Callable[[], list[str]]:
    """Chooses, when called under the submission lock, and makes the runs ready to be submitted."""

    def choose_and_prepare() -> list[str]:
        observation = observe(experiment)
        chosen = choose(observation, choice)
        for name in chosen:
            _mark_pending(experiment, name, observation.statuses[name])
        return chosen

    return choose_and_prepare


def _mark_pending(experiment: ExperimentDir, name: str, seen: RunStatus) -> None:
    """Nobody works on the run. What it ended with last time must not hide its new job.

    An owner that did not give it back is dead, as its job says: the next attempt need not
    wait until its heartbeat expires.
    """
    run_dir = experiment.run(name)
    run_dir.cancel_path.unlink(missing_ok=True)
    if seen.state == State.PENDING and seen.attempt == 0 and read_owner(run_dir) is None:
        return  # it never began: there is nothing to put right
    evict(run_dir)
    status = read_status(run_dir)
    if status.state != State.PENDING:
        pending = status.replace(state=State.PENDING, reason="", hint="", deaths=0)
        write_status(run_dir, pending)
