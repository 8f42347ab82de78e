"""A tracker gets every row once, whatever happens to it, and the run never notices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import MetricsRow, MetricsWriter, read_metrics
from hpcexp.store.status import State, read_status, write_status
from hpcexp.store.tracking import read_tracked, write_tracked
from hpcexp.worker.tracking import follow
from hpcexp.worker.tracking.follow import Follower, count_missing
from hpcexp.worker.tracking.rows import Point
from hpcexp.worker.tracking.tracker import TrackedRun
from tests.worker.conftest import make_run

Logged = tuple[int, str]


class Recorded:
    """A tracker that keeps what it is given, of all attempts; told to, it fails."""

    can_rewind: ClassVar[bool] = False
    opened: ClassVar[list[TrackedRun]] = []
    logged: ClassVar[list[Logged]] = []
    ended: ClassVar[list[str]] = []
    error: ClassVar[Exception | None] = None

    def __init__(self, run: TrackedRun, options: Mapping[str, Any]) -> None:
        self.opened.append(run)
        self.id = run.id or f"id_{len(self.opened)}"

    def log(self, points: Sequence[Point]) -> None:
        if self.error is not None:
            raise self.error
        self.logged.extend((point.step, point.split) for point in points)

    def rewind(self, *, step: int) -> None:
        self.logged[:] = [logged for logged in self.logged if logged[0] <= step]

    def end(self, *, state: str, is_finished: bool) -> None:
        self.ended.append(state)


class Rewindable(Recorded):
    can_rewind: ClassVar[bool] = True


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("opened", "logged", "ended"):
        monkeypatch.setattr(Recorded, name, [])
    monkeypatch.setattr(Recorded, "error", None)
    monkeypatch.setattr(follow, "FIRST_PAUSE_S", 0.0)


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return make_run(tmp_path)


def write(run_dir: RunDir, steps: Sequence[int], *, attempt: int, resume: int | None) -> None:
    """An attempt that began at the checkpoint of step `resume` and recorded these steps."""
    writer = MetricsWriter.start(
        run_dir.path, attempt=attempt, columns=("loss",), resume_step=resume, check=lambda: None
    )
    rows = [
        MetricsRow(step // 5, step, split, attempt * 1e6 + step, {"loss": 1.0})
        for step in steps
        for split in ("train", "validate")
    ]
    writer.append(rows)
    writer.close()
    status = read_status(run_dir).replace(
        state=State.RUNNING, attempt=attempt, begun_step=resume or 0
    )
    write_status(run_dir, status)


def make_follower(run_dir: RunDir, kind: type[Recorded] = Recorded) -> Follower:
    plan = read_plan(run_dir.experiment)
    return Follower(run_dir, plan, kind="wandb", make=kind, options={})


def list_steps() -> list[int]:
    return [step for step, split in Recorded.logged if split == "validate"]


def test_every_row_is_handed_on_once(run_dir: RunDir) -> None:
    write(run_dir, [5, 10], attempt=1, resume=None)
    follower = make_follower(run_dir)
    for _ in range(3):
        follower.follow()
    follower.follow(is_last=True)
    assert sorted(Recorded.logged) == sorted((s, x) for s in (5, 10) for x in ("train", "validate"))
    assert Recorded.ended == ["running"]
    assert read_tracked(run_dir, "wandb").num_rows == 4


def test_a_later_attempt_goes_on_with_the_same_id_and_hands_on_what_is_new(
    run_dir: RunDir,
) -> None:
    write(run_dir, [5, 10, 15], attempt=1, resume=None)
    make_follower(run_dir).follow(is_last=True)
    write(run_dir, [10, 15, 20], attempt=2, resume=5)  # 10 and 15 a second time
    make_follower(run_dir).follow(is_last=True)
    assert list_steps() == [5, 10, 15, 20]
    assert [run.id for run in Recorded.opened] == ["", "id_1"]


def test_one_that_can_take_rows_back_has_those_of_the_newest_attempt(run_dir: RunDir) -> None:
    write(run_dir, [5, 10, 15], attempt=1, resume=None)
    make_follower(run_dir, Rewindable).follow(is_last=True)
    write(run_dir, [10], attempt=2, resume=5)
    make_follower(run_dir, Rewindable).follow(is_last=True)
    assert list_steps() == [5, 10]
    tracked = read_tracked(run_dir, "wandb")
    assert (tracked.step, tracked.num_rows, tracked.attempt) == (10, 4, 2)


def test_a_rollback_within_an_attempt_is_seen(run_dir: RunDir) -> None:
    write(run_dir, [5, 10, 15], attempt=1, resume=None)
    follower = make_follower(run_dir, Rewindable)
    follower.follow()
    write(run_dir, [10, 15, 20], attempt=2, resume=5)
    follower.follow()
    assert list_steps() == [5, 10, 15, 20]


def test_what_failed_is_tried_again_and_told_once_in_the_log(run_dir: RunDir) -> None:
    write(run_dir, [5], attempt=1, resume=None)
    run_dir.logs_dir.mkdir()
    run_dir.log_path(1).touch()
    follower = make_follower(run_dir)
    Recorded.error = ConnectionError("no route to host")
    for _ in range(3):
        follower.follow()
    tracked = read_tracked(run_dir, "wandb")
    assert tracked.problem == "ConnectionError: no route to host"
    assert count_missing(tracked, read_metrics(run_dir.path)) == 2
    (line,) = run_dir.log_path(1).read_text().splitlines()
    assert line.endswith("wandb lacks 2 rows of this run: ConnectionError: no route to host")
    Recorded.error = None
    follower.follow(is_last=True)
    assert list_steps() == [5]
    assert read_tracked(run_dir, "wandb").problem == ""


def test_after_a_failure_there_is_a_pause(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "FIRST_PAUSE_S", math.inf)
    write(run_dir, [5], attempt=1, resume=None)
    follower = make_follower(run_dir)
    Recorded.error = ConnectionError()
    follower.follow()
    Recorded.error = None
    follower.follow()
    assert list_steps() == []


def test_rows_that_may_have_arrived_before_a_kill_are_counted_and_not_repeated(
    run_dir: RunDir,
) -> None:
    write(run_dir, [5, 10], attempt=1, resume=None)
    make_follower(run_dir).follow(is_last=True)
    write(run_dir, [15], attempt=2, resume=10)
    tracked = read_tracked(run_dir, "wandb")
    write_tracked(run_dir, "wandb", tracked.replace(claimed_step=15))  # killed while it wrote
    make_follower(run_dir).follow(is_last=True)
    assert list_steps() == [5, 10]
    assert read_tracked(run_dir, "wandb").num_lost == 2


def test_a_run_of_which_nothing_is_new_is_not_opened(run_dir: RunDir) -> None:
    make_follower(run_dir).follow(is_last=True)
    write(run_dir, [5], attempt=1, resume=None)
    make_follower(run_dir).follow(is_last=True)
    make_follower(run_dir).follow(is_last=True)
    assert len(Recorded.opened) == 1
