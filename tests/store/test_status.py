from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.layout import RunDir
from hpcexp.store.status import FINISHED, RunStatus, State, read_status, write_status

FULL = RunStatus(
    state=State.DIVERGED,
    attempt=3,
    epoch=2,
    num_epochs=9,
    step=17,
    num_steps=81,
    reason="loss kld became NaN at step 17 (epoch 2)",
    hint="a smaller lr",
    host="node1",
    job_id="77_3",
    pid=42,
    started=1.5,
    ended=2.5,
    updated=3.5,
    trained_s=0.25,
    metrics={"loss": 0.5, "loss.kld": None},
    machine={"device": "cpu", "num_threads": 1},
    begun_step=9,
    deaths=2,
    continued_from={"step": 5, "epoch": 1},
    skipped_steps=4,
    rollbacks=6,
    foretold={"epoch": 3, "value": 0.5, "is_audited": True},
)


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@pytest.mark.parametrize("status", [RunStatus(), FULL])
def test_a_status_comes_back_as_it_was_written(run_dir: RunDir, status: RunStatus) -> None:
    write_status(run_dir, status)
    assert read_status(run_dir) == status


def test_every_field_of_the_sample_above_differs_from_its_default() -> None:
    default = RunStatus()
    assert all(getattr(FULL, name) != value for name, value in vars(default).items())


def test_only_a_run_that_a_rule_stopped_as_doomed_is_censored() -> None:
    foretold = {"epoch": 3, "value": 0.5, "is_audited": False}
    assert RunStatus(state=State.STOPPED, foretold=foretold).is_censored
    assert not RunStatus(state=State.STOPPED).is_censored
    assert not RunStatus(state=State.RUNNING, foretold=foretold).is_censored
    audited = {**foretold, "is_audited": True}
    assert not RunStatus(state=State.STOPPED, foretold=audited).is_censored


@pytest.mark.parametrize("state", list(State))
def test_a_state_is_a_state_again_and_no_text(run_dir: RunDir, state: State) -> None:
    write_status(run_dir, RunStatus(state=state))
    read = read_status(run_dir)
    assert read.state is state
    assert read.is_finished == (state in FINISHED)


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_take_defaults(
    run_dir: RunDir,
) -> None:
    run_dir.status_path.write_text(json.dumps({"state": "running", "step": 4, "mood": "fine"}))
    assert read_status(run_dir) == RunStatus(state=State.RUNNING, step=4)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "damaged"),
        ('{"state": "runn', "damaged"),
        ("[1, 2]", "damaged"),
        ('{"state": "dreaming"}', "state 'dreaming'; known are pending"),
        ('{"state": null}', "state None"),
    ],
)
def test_a_damaged_status_is_an_error_in_words(
    run_dir: RunDir, content: str, complaint: str
) -> None:
    run_dir.status_path.write_text(content)
    with pytest.raises(HpcexpError, match=complaint) as caught:
        read_status(run_dir)
    assert str(run_dir.status_path) in str(caught.value)


def test_a_missing_status_is_an_error_in_words(run_dir: RunDir) -> None:
    with pytest.raises(HpcexpError, match="no such file"):
        read_status(run_dir)


def test_replacing_a_field_notes_the_time_and_leaves_the_rest() -> None:
    replaced = FULL.replace(step=18)
    assert replaced.updated > FULL.updated
    assert vars(replaced) == {**vars(FULL), "step": 18, "updated": replaced.updated}
