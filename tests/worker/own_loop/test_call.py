"""A function of the user's is called with what it asks for, in a process of its own."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import RunStatus, State, read_status
from hpcexp.worker.own_loop.call import choose_arguments
from tests.worker.conftest import start_worker, train_here
from tests.worker.own_loop.conftest import make_own_run

MODULE = """
import dataclasses, json, time

@dataclasses.dataclass
class Config:
    rate: float = 0.5
    layers: int = 2

def with_config(config: Config, run):
    run.report(epoch=1, rate=config.rate, layers=config.layers, loss=run.seed % 2)

def with_names(run, *, rate: float = 0.25, max_epoch: int = 2):
    for epoch in range(1, max_epoch + 1):
        run.report(epoch=epoch, loss=rate**epoch)

def with_any(config, run):
    run.report({"loss": config.rate}, step=7)

def slow(run, max_epoch: int = 1000):
    for epoch in range(run.epoch + 1, max_epoch + 1):
        run.report(epoch=epoch, loss=1 / epoch)
        time.sleep(0.1)
        if run.should_stop():
            return

def broken(run):
    return 1 / 0
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def train(project: Path, name: str, **params: Any) -> tuple[RunStatus, list[dict[str, float]]]:
    params = {"function": f"mine:{name}", **params}
    run_dir = make_own_run(project, workload="function", params=params)
    status = train_here(run_dir)
    table = read_metrics(run_dir.path)
    return status, [dict(table.row(i).values) for i in range(len(table))]


def test_a_dataclass_is_made_of_the_hyperparameters(project: Path) -> None:
    status, (row,) = train(project, "with_config", layers=3)
    assert status.state == State.COMPLETED
    assert (row["rate"], row["layers"]) == (0.5, 3)


def test_parameters_are_given_by_name_and_the_budget_among_them(project: Path) -> None:
    status, rows = train(project, "with_names", rate=0.5)
    assert [row["loss"] for row in rows] == [0.5, 0.25]
    assert (status.epoch, status.num_epochs) == (2, 2)


def test_a_config_that_says_nothing_takes_anything(project: Path) -> None:
    status, (row,) = train(project, "with_any", rate=0.125, other="x")
    assert (status.step, row["loss"]) == (7, 0.125)


def test_a_name_that_the_function_does_not_take_is_an_error_and_not_ignored() -> None:
    def train(run: object, lr: float) -> None: ...

    with pytest.raises(TypeError) as caught:
        choose_arguments(train, {"lr": 1.0, "bad": 2}, {"function": "mine:train"})
    assert str(caught.value) == "mine:train has no hyperparameter bad; it has: lr"


def test_what_it_raises_is_the_cause(project: Path) -> None:
    status, _ = train(project, "broken")
    assert (status.state, status.reason) == (
        State.FAILED,
        "exit code 1: ZeroDivisionError: division by zero",
    )


def test_a_function_that_returns_because_it_was_asked_to_has_not_completed(project: Path) -> None:
    run_dir = make_own_run(project, workload="function", params={"function": "mine:slow"})
    worker = start_worker(run_dir.experiment)
    worker.wait_until(lambda: read_status(run_dir).epoch >= 1, "the first epoch")
    worker.send(signal.SIGUSR2)
    worker.join()
    assert read_status(run_dir).state == State.TIMED_OUT
    assert not any(
        "completed" in json.loads(x) for x in run_dir.reports_path(1).read_text().splitlines()
    )
