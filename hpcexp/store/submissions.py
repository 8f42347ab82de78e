"""What was handed to an executor: bundles of runs, and the jobs that got them."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hpcexp.store.files import build_record, read_record, write_json
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class Driver:
    """The process on this or another machine that starts the jobs of a local submission."""

    host: str
    pid: int
    process_start: int | None


@dataclass(frozen=True)
class Submission:
    """One call of an executor. Job i trains the runs of bundle i.

    The record is written before the executor is called, with its unique `job_name`, so that
    jobs of a launch that was killed in between can be found; `job_ids` are filled in after.
    """

    id: str
    executor: str
    job_name: str
    created: float
    bundles: tuple[tuple[str, ...], ...]
    job_ids: tuple[str, ...] = ()
    driver: Driver | None = None


def make_submission(
    experiment: ExperimentDir,
    *,
    number: int,
    executor: str,
    bundles: Sequence[Sequence[str]],
    driver: Driver | None = None,
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
    )


def write_submission(experiment: ExperimentDir, submission: Submission) -> None:
    """Write or replace a record."""
    experiment.jobs_dir.mkdir(exist_ok=True)
    write_json(experiment.submission_path(submission.id), dataclasses.asdict(submission))


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
    )


def read_submissions(experiment: ExperimentDir) -> list[Submission]:
    """All records, oldest first."""
    return [read_submission(experiment, p.stem) for p in experiment.iter_submission_paths()]


def find_job(submissions: list[Submission], run_name: str) -> tuple[Submission, int] | None:
    """The newest submission that holds a run, and the run's place in it."""
    for submission in reversed(submissions):
        for index, bundle in enumerate(submission.bundles):
            if run_name in bundle:
                return submission, index
    return None
