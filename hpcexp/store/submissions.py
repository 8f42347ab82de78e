"""What was handed to an executor: bundles of runs, and the jobs that got them."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hpcexp.store.files import build_record, read_record, write_json
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class Driver:
    """The process on this or another machine that starts the jobs of a local submission."""

    host: str
    pid: int
    process_start: int | None


class Stage(StrEnum):
    """How far a submission got."""

    HELD = "held"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    GIVEN_UP = "given_up"


@dataclass(frozen=True)
class Submission:
    """One call of an executor. Job i trains the runs of bundle i, one after another.

    The record is written before the executor is called, with its unique `job_name`, so that
    jobs of a launch that was killed in between can be found; `job_ids` are filled in after.
    A held submission waits for room under the cluster's limits. One that was given up was
    never accepted: should a job of it turn up after all, it trains nothing.

    `resources` are what its jobs ask for, where that is not what the plan says. `problem` is
    why it is held or was given up. With `packing`, `lanes` or `processes`, a job trains up to
    `runs_per_job` of its runs at the same time; with `auto` as many as it finds best.
    `is_on_hold`: the user wants no more of its jobs to begin for now.
    """

    id: str
    executor: str
    job_name: str
    created: float
    bundles: tuple[tuple[str, ...], ...]
    job_ids: tuple[str, ...] = ()
    driver: Driver | None = None
    stage: Stage = Stage.SUBMITTED
    resources: Mapping[str, Any] | None = None
    problem: str = ""
    packing: str = "none"
    runs_per_job: int = 1
    is_on_hold: bool = False


def make_submission(
    experiment: ExperimentDir,
    *,
    number: int,
    executor: str,
    bundles: Sequence[Sequence[str]],
    driver: Driver | None = None,
    stage: Stage = Stage.SUBMITTED,
    resources: Mapping[str, Any] | None = None,
    packing: str = "none",
    runs_per_job: int = 1,
) -> Submission:
    """A new record. Its job name is unique on the cluster, and the same in a dry run.

    It begins with the template's name, since squeue shows eight letters of it.
    """
    place = hashlib.blake2s(str(experiment.path.resolve()).encode(), digest_size=3).hexdigest()
    frozen = tuple(tuple(bundle) for bundle in bundles)
    return Submission(
        id=f"submission_{number:03d}",
        executor=executor,
        job_name=f"{experiment.short_name}.{experiment.timestamp}.{number}.{place}",
        created=time.time(),
        bundles=frozen,
        driver=driver,
        stage=stage,
        resources=resources,
        packing=packing,
        runs_per_job=runs_per_job,
    )


def write_submission(experiment: ExperimentDir, submission: Submission) -> None:
    """Write or replace a record."""
    experiment.jobs_dir.mkdir(exist_ok=True)
    write_json(experiment.submission_path(submission.id), dataclasses.asdict(submission))


def number_next(submissions: Sequence[Submission]) -> int:
    """The number of the next submission."""
    return 1 + max((int(s.id.rpartition("_")[2]) for s in submissions), default=0)


def read_submission(experiment: ExperimentDir, submission_id: str) -> Submission:
    """One record.

    Raises HpcexpError where it is missing or damaged.
    """
    path = experiment.submission_path(submission_id)
    read = read_record(path, Submission)
    driver = build_record(read.driver, Driver, path=path) if read.driver is not None else None
    return dataclasses.replace(
        read,
        bundles=tuple(tuple(bundle) for bundle in read.bundles),
        job_ids=tuple(read.job_ids),
        driver=driver,
        stage=Stage(read.stage),
    )


def read_submissions(experiment: ExperimentDir) -> list[Submission]:
    """All records, oldest first."""
    return [read_submission(experiment, p.stem) for p in experiment.iter_submission_paths()]


def index_jobs(submissions: Iterable[Submission]) -> dict[str, tuple[Submission, int]]:
    """The newest submission that holds each run, and the run's bundle in it."""
    return {
        name: (submission, index)
        for submission in submissions
        if submission.stage != Stage.GIVEN_UP
        for index, bundle in enumerate(submission.bundles)
        for name in bundle
    }
