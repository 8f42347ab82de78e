"""Handing runs to an executor, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.launch.executor import AttachedExecutor, DetachedExecutor, LaunchOptions
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.local import describe_driver
from hpcexp.launch.plan import bundle_runs
from hpcexp.store.copies import refuse_copy
from hpcexp.store.experiment import Plan
from hpcexp.store.extending import finish_extensions
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.locks import LockedError, locked
from hpcexp.store.submissions import (
    Stage,
    Submission,
    make_submission,
    number_next,
    read_submissions,
    write_submission,
)
from hpcexp.template import Resources
from hpcexp.worker.packing import find_lane_keys

LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Handed:
    """What was submitted or trained; `is_done` is false where training was interrupted."""

    run_names: tuple[str, ...]
    submissions: tuple[Submission, ...] = ()
    is_done: bool = True

    @property
    def num_jobs(self) -> int:
        """Jobs that are in the queue now."""
        return sum(len(s.bundles) for s in self.submissions if s.stage == Stage.SUBMITTED)

    @property
    def num_held(self) -> int:
        """Jobs that wait for room."""
        return sum(len(s.bundles) for s in self.submissions if s.stage == Stage.HELD)

    @property
    def held_reason(self) -> str:
        """Why they wait."""
        reasons = (s.problem for s in self.submissions if s.stage == Stage.HELD)
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


@dataclass(frozen=True)
class Wish:
    """Where to train, how, and with which other resources than the plan's."""

    executor: str
    options: LaunchOptions = field(default_factory=LaunchOptions)
    resources: Mapping[str, Any] = field(default_factory=dict)


def submit_runs(
    experiment: ExperimentDir, choose: Callable[[], Sequence[str]], wish: Wish
) -> Handed:
    """Hand the runs that `choose` names to an executor of the table.

    They are chosen and written down under the submission lock, so that two commands never
    submit one run; what is trained here is trained after the lock was given back.
    """
    place = EXECUTORS[wish.executor]
    with submitting(experiment):
        settle_all(experiment)
        plan = finish_extensions(experiment)
        submitted = place.submit_held(experiment, read_resources(plan))
        run_names = tuple(choose())
        resources = read_resources(plan, changes=wish.resources)
        if run_names:
            experiment.notified_path.unlink(missing_ok=True)  # it has not ended any more
        if isinstance(place, DetachedExecutor):
            if run_names:
                submitted += place.submit(
                    experiment, run_names, resources, is_changed=bool(wish.resources)
                )
            place.submit_look(experiment, read_resources(plan))
            return Handed(run_names, tuple(submitted))
        if not run_names:
            return Handed(())
        submission = make_submission(
            experiment,
            number=number_next(read_submissions(experiment)),
            executor=wish.executor,
            bundles=bundle_runs(run_names, resources, key_of=find_lane_keys(experiment)),
            packing=resources.packing,
            runs_per_job=resources.runs_per_job,
            driver=describe_driver(),
        )
        write_submission(experiment, submission)
    assert isinstance(place, AttachedExecutor)
    is_done = place.train(experiment, submission, resources, wish.options)
    return Handed(run_names, (submission,), is_done)


def settle_all(experiment: ExperimentDir) -> None:
    """Find out what became of submissions whose command was killed; under the submission lock."""
    for name in {s.executor for s in read_submissions(experiment)}:
        EXECUTORS[name].settle(experiment)


def read_resources(plan: Plan, *, changes: Mapping[str, Any] | None = None) -> Resources:
    """The resources that a plan was made with, and those that are to differ."""
    return Resources.model_validate({**plan.resources, **(changes or {})})


@contextmanager
def submitting(
    experiment: ExperimentDir, *, timeout_s: float | None = None, copies_too: bool = False
) -> Iterator[None]:
    """Hold the experiment's submission lock.

    Raises HpcexpError where another command holds it for long, UsageError for a copy of an
    experiment that lives elsewhere unless `copies_too`.
    """
    if not copies_too:
        refuse_copy(experiment)
    wait_s = LOCK_TIMEOUT_S if timeout_s is None else timeout_s
    with ExitStack() as stack:
        try:
            experiment.jobs_dir.mkdir(exist_ok=True)
            stack.enter_context(locked(experiment.submission_lock_path, timeout_s=wait_s))
        except LockedError as error:
            raise HpcexpError(
                f"{experiment.name}: another hpcexp command is submitting or cancelling its runs; "
                "try again in a minute"
            ) from error
        except OSError as error:
            raise HpcexpError(
                f"{experiment.jobs_dir}: cannot be written ({error.strerror}); nothing was changed"
            ) from error
        yield
