"""Handing runs to an executor, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from filelock import FileLock, Timeout

from hpcexp.errors import HpcexpError
from hpcexp.launch.executor import LaunchOptions
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.local import describe_driver
from hpcexp.launch.plan import make_bundles, split_bundles
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import (
    Submission,
    make_submission,
    read_submissions,
    write_submission,
)
from hpcexp.template import Resources

LOCK_TIMEOUT_S = 30.0


def submit_runs(
    experiment: ExperimentDir,
    choose: Callable[[], Sequence[str]],
    *,
    executor: str,
    options: LaunchOptions,
) -> tuple[list[str], bool]:
    """Hand the runs that `choose` names to an executor of the table.

    They are chosen and written down under the submission lock, so that two commands never
    submit one run; what is trained here is trained after the lock was given back. Returns
    the runs, and False where the training was interrupted.
    """
    place = EXECUTORS[executor]
    with submitting(experiment):
        run_names = list(choose())
        resources = read_resources(read_plan(experiment))
        submissions = _make_submissions(experiment, run_names, executor)
        for submission in submissions:
            write_submission(experiment, submission)
            if place.is_detached:
                place.train(experiment, submission, resources, options)
    if place.is_detached:
        return run_names, True
    finished = [place.train(experiment, s, resources, options) for s in submissions]
    return run_names, all(finished)


def _make_submissions(
    experiment: ExperimentDir, run_names: Sequence[str], executor: str
) -> list[Submission]:
    place = EXECUTORS[executor]
    number = len(read_submissions(experiment)) + 1
    parts = split_bundles(make_bundles(run_names), max_bundles=place.max_bundles)
    driver = None if place.is_detached else describe_driver()
    return [
        make_submission(
            experiment, number=number + i, executor=executor, bundles=bundles, driver=driver
        )
        for i, bundles in enumerate(parts)
    ]


def read_resources(plan: Plan) -> Resources:
    """The resources that a plan was made with."""
    return Resources.model_validate(dict(plan.resources))


@contextmanager
def submitting(experiment: ExperimentDir) -> Iterator[None]:
    """Hold the experiment's submission lock.

    Raises HpcexpError where another command holds it for long.
    """
    experiment.jobs_dir.mkdir(exist_ok=True)
    try:
        with FileLock(experiment.submission_lock_path, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise HpcexpError(
            f"{experiment.name}: another hpcexp command is submitting or cancelling its runs; "
            "try again in a minute"
        ) from error
