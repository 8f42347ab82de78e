"""Where runs are trained when nobody says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.launch import executors
from hpcexp.launch.executors import choose_executor
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Stage, make_submission, write_submission


@pytest.fixture(params=[True, False], ids=["slurm", "no slurm"])
def has_slurm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(executors, "has_slurm", lambda: request.param)
    return bool(request.param)


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    (tmp_path / "jobs").mkdir()
    return ExperimentDir(tmp_path)


def submit(
    experiment: ExperimentDir, number: int, executor: str, stage: Stage = Stage.SUBMITTED
) -> None:
    submission = make_submission(
        experiment, number=number, executor=executor, bundles=[["lr=1_rand_0"]], stage=stage
    )
    write_submission(experiment, submission)


def test_a_new_experiment_goes_to_slurm_where_it_is(has_slurm: bool) -> None:
    assert choose_executor() == ("slurm" if has_slurm else "local")


def test_an_experiment_goes_on_as_it_was_trained_last(
    has_slurm: bool, experiment: ExperimentDir
) -> None:
    submit(experiment, 1, "slurm")
    assert choose_executor(experiment) == ("slurm" if has_slurm else "local")
    submit(experiment, 2, "local")
    assert choose_executor(experiment) == "local"


def test_a_submission_that_was_refused_says_nothing(
    has_slurm: bool, experiment: ExperimentDir
) -> None:
    submit(experiment, 1, "local")
    submit(experiment, 2, "slurm", Stage.GIVEN_UP)
    assert choose_executor(experiment) == "local"
