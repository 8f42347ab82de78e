from __future__ import annotations

import dataclasses

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import (
    Driver,
    Stage,
    Submission,
    index_jobs,
    make_submission,
    number_next,
    read_submission,
    read_submissions,
    write_submission,
)


def submit(
    experiment: ExperimentDir, number: int, bundles: list[list[str]], driver: Driver | None = None
) -> Submission:
    submission = make_submission(
        experiment, number=number, executor="slurm", bundles=bundles, driver=driver
    )
    write_submission(experiment, submission)
    return submission


@pytest.mark.parametrize("driver", [None, Driver("node", 42, 4711), Driver("node", 42, None)])
def test_a_record_comes_back_as_it_was_written(
    experiment: ExperimentDir, driver: Driver | None
) -> None:
    made = submit(experiment, 1, [["a", "b"], ["c"]], driver)
    assert read_submission(experiment, made.id) == made
    submitted = dataclasses.replace(made, job_ids=("7_0", "7_1"))
    write_submission(experiment, submitted)
    assert read_submissions(experiment) == [submitted]


def test_an_experiment_that_was_not_submitted_has_no_records(experiment: ExperimentDir) -> None:
    assert read_submissions(experiment) == []


def test_job_names_differ_between_submissions_and_between_places(
    experiment: ExperimentDir,
) -> None:
    elsewhere = ExperimentDir(experiment.path.parent / "elsewhere" / experiment.name)
    names = {
        make_submission(place, number=number, executor="slurm", bundles=[]).job_name
        for place in (experiment, elsewhere)
        for number in (1, 2)
    }
    assert len(names) == 4
    again = make_submission(experiment, number=1, executor="slurm", bundles=[]).job_name
    assert again in names


def test_a_run_is_found_in_the_newest_submission_that_holds_it(experiment: ExperimentDir) -> None:
    first = submit(experiment, 1, [["a"], ["b"], ["c"]])
    second = submit(experiment, 2, [["x", "b"]])
    given_up = dataclasses.replace(submit(experiment, 3, [["c"]]), stage=Stage.GIVEN_UP)
    write_submission(experiment, given_up)
    jobs = index_jobs(read_submissions(experiment))
    assert jobs["c"] == (first, 2)
    assert jobs["b"] == (second, 0)
    assert "z" not in jobs


def test_submissions_are_numbered_also_where_one_is_gone(experiment: ExperimentDir) -> None:
    assert number_next([]) == 1
    submit(experiment, 1, [["a"]])
    third = submit(experiment, 3, [["b"]])
    assert number_next([third]) == 4


def test_a_damaged_record_is_an_error_in_words(experiment: ExperimentDir) -> None:
    submission = submit(experiment, 1, [["a"]])
    experiment.submission_path(submission.id).write_text('{"id": "submission_001"}')
    with pytest.raises(HpcexpError, match=r"submission_001\.json: damaged \(without executor"):
        read_submission(experiment, submission.id)
