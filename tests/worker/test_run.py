"""Whatever happens to a run, its directory says it, and the caller goes on."""

from __future__ import annotations

import errno
import math
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, RunOwnedError, UsageError
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import read_run_config
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import read_last, read_metrics
from hpcexp.store.ownership import Ownership, acquire, read_live_owner
from hpcexp.store.status import RunStatus, State, read_status, write_status
from hpcexp.train.checkpoint import write_checkpoint
from hpcexp.worker import run as run_module
from hpcexp.worker import sink as sink_module
from hpcexp.worker.attempt import CHECKPOINT_VARIABLE, find_checkpoint_interval_s
from hpcexp.worker.failures import explain
from hpcexp.worker.interruption import Interruption
from tests.store.conftest import StartPython, wait_until
from tests.store.test_format import FIXTURE_DIR, INTERRUPTED, PENDING
from tests.store.test_ownership import ACQUIRE_AND_WAIT
from tests.worker.conftest import (
    LONG,
    InterruptAfter,
    ask_for,
    assert_equal_runs,
    list_hidden,
    make_run,
    newest_step,
    supersede,
    take_snapshot,
    train_here,
)


def read_log(run_dir: RunDir, attempt: int) -> str:
    return run_dir.log_path(attempt).read_text()


# -------------------------------------------------------------------------------- completed


def test_a_completed_run_says_how_far_it_came_and_how_good_it_is(reference: RunDir) -> None:
    status = read_status(reference)
    assert (status.state, status.attempt, status.reason) == (State.COMPLETED, 1, "")
    assert (status.epoch, status.num_epochs, status.step, status.num_steps) == (6, 6, 30, 30)
    assert status.started is not None
    assert status.ended is not None
    assert status.started <= status.ended
    assert status.trained_s > 0
    last = read_last(reference.path)["validate"]
    assert (last.epoch, last.step) == (6, 30)
    assert status.metrics["loss"] == pytest.approx(last.values["loss"])
    assert status.machine["num_threads"] == 1
    assert newest_step(reference) == 30
    assert read_live_owner(reference) is None


def test_a_finished_run_is_never_touched_again(
    reference: RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    before = take_snapshot(reference.path)
    train_here(reference)
    assert take_snapshot(reference.path) == before
    assert f"{reference.name} is completed already" in caplog.text


def test_a_run_that_another_attempt_ends_at_the_last_moment_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path)

    def acquire_after_another(run_dir: RunDir) -> Ownership:
        other = acquire(run_dir)
        write_status(run_dir, RunStatus(state=State.COMPLETED, attempt=1))
        other.release()
        return acquire(run_dir)

    monkeypatch.setattr(run_module, "acquire", acquire_after_another)
    assert train_here(run_dir) == RunStatus(state=State.COMPLETED, attempt=1)
    assert read_live_owner(run_dir) is None
    assert sorted(p.name for p in run_dir.path.iterdir()) == [
        ".lock",
        "config.json",
        "owner.json",
        "status.json",
    ]


# --------------------------------------------------------------------------------- diverged


def test_a_diverged_run_names_step_and_loss_and_keeps_the_bad_row(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, lr=1e30)
    status = train_here(run_dir)
    assert status.state == State.DIVERGED
    assert status.is_finished
    assert f"step {status.step} (epoch 1)" in status.reason
    assert "loss" in status.reason
    table = read_metrics(run_dir.path)
    bad = table.row(-1)
    assert (bad.split, bad.epoch) == ("train", 1)
    assert not math.isfinite(bad.values["loss"])
    before = take_snapshot(run_dir.path)
    train_here(run_dir)
    assert take_snapshot(run_dir.path) == before


# ----------------------------------------------------------- interrupted, cancelled, resumed


def test_an_interrupted_run_continues_and_gives_the_same_numbers(
    tmp_path: Path, reference: RunDir
) -> None:
    run_dir = make_run(tmp_path)
    status = train_here(run_dir, InterruptAfter(13))
    assert (status.state, status.step, status.epoch) == (State.INTERRUPTED, 13, 2)
    assert "SIGTERM" in status.reason
    assert "hpcexp resume" in status.hint
    assert newest_step(run_dir) == 13
    assert read_live_owner(run_dir) is None
    status = train_here(run_dir)
    assert (status.state, status.attempt, status.reason) == (State.COMPLETED, 2, "")
    assert "continuing from step 13" in read_log(run_dir, 2)
    assert_equal_runs(run_dir, reference)


@pytest.mark.parametrize("name", [INTERRUPTED, PENDING])
def test_an_experiment_of_the_oldest_format_is_still_continued(tmp_path: Path, name: str) -> None:
    shutil.copytree(FIXTURE_DIR, tmp_path / "experiment")
    run_dir = ExperimentDir(tmp_path / "experiment").run(name)
    attempt = read_status(run_dir).attempt + 1
    status = train_here(run_dir)
    assert (status.attempt, status.step) == (attempt, 10 if name == INTERRUPTED else 1)
    assert status.is_finished


def test_attempts_are_numbered_and_have_logs_and_metrics_of_their_own(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    for attempt in (1, 2, 3):
        assert train_here(run_dir, InterruptAfter(4)).attempt == attempt
        assert [p.name for p in run_dir.path.glob("metrics.*")] == [f"metrics.{attempt}.bin"]
    assert read_status(run_dir).step == 12
    assert sorted(p.name for p in run_dir.logs_dir.iterdir()) == [
        f"attempt_{attempt}.log" for attempt in (1, 2, 3)
    ]
    for attempt in (1, 2, 3):
        assert f"{run_dir.name}, attempt {attempt}, on " in read_log(run_dir, attempt)
        assert read_log(run_dir, attempt).count(", attempt ") == 1


def test_time_is_summed_over_attempts(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    first = train_here(run_dir, InterruptAfter(4)).trained_s
    write_status(run_dir, read_status(run_dir).replace(trained_s=first + 1000.0))
    assert train_here(run_dir, InterruptAfter(4)).trained_s > first + 1000.0


def test_a_run_that_is_interrupted_before_it_trains_has_no_rows_and_trains_later(
    tmp_path: Path, reference: RunDir
) -> None:
    run_dir = make_run(tmp_path)
    interruption = Interruption()
    interruption.request(signal.SIGTERM)
    status = train_here(run_dir, interruption)
    assert (status.state, status.step) == (State.INTERRUPTED, 0)
    assert list(run_dir.path.glob("metrics.*")) == []
    assert list_checkpoints(run_dir) == []
    assert train_here(run_dir).state == State.COMPLETED
    assert_equal_runs(run_dir, reference)


def test_a_run_that_is_cancelled_while_it_trains_keeps_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    monkeypatch.setattr(sink_module, "STATUS_EVERY_S", 0.0)
    run_dir = make_run(tmp_path, **LONG)

    def cancel() -> None:
        wait_until(lambda: newest_step(run_dir) > 0, "a checkpoint")
        run_dir.cancel_path.touch()

    user = threading.Thread(target=cancel)
    user.start()
    interruption = Interruption()
    status = train_here(run_dir, interruption)
    user.join()
    assert (status.state, status.reason) == (State.CANCELLED, "cancelled by the user")
    assert 0 < status.step < status.num_steps
    assert newest_step(run_dir) == status.step
    assert interruption.signal is None
    run_dir.cancel_path.unlink()
    assert train_here(run_dir).state == State.CANCELLED
    ask_for(run_dir)
    assert train_here(run_dir, InterruptAfter(1)).step == status.step + 1


def test_a_run_that_is_cancelled_before_it_trains_stays_untrained(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    run_dir.cancel_path.touch()
    status = train_here(run_dir)
    assert (status.state, status.step) == (State.CANCELLED, 0)
    assert list_checkpoints(run_dir) == []


def test_a_signal_after_a_request_to_cancel_is_the_cancelling(tmp_path: Path) -> None:
    """`hpcexp cancel` leaves the file, then has Slurm end the job: SIGTERM."""
    run_dir = make_run(tmp_path)

    class CancelAfter(InterruptAfter):
        def request(self, number: signal.Signals) -> None:
            run_dir.cancel_path.touch()
            super().request(number)

    assert train_here(run_dir, CancelAfter(5)).state == State.CANCELLED


# ------------------------------------------------------------------------------ checkpoints


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run that was interrupted after 13 steps, with a checkpoint of each of the last two."""
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    run_dir = make_run(tmp_path)
    train_here(run_dir, InterruptAfter(13))
    # The last checkpoint was made twice: periodically, and at the end.
    assert [p.stem[-2:] for p in list_checkpoints(run_dir)] == ["13", "12"]
    return run_dir


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    stopped: RunDir, reference: RunDir
) -> None:
    newest = list_checkpoints(stopped)[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    assert train_here(stopped).state == State.COMPLETED
    log = read_log(stopped, 2)
    assert f"{newest.name}: not a whole checkpoint" in log
    assert "trying the one before it" in log
    assert "continuing from step 12" in log
    assert_equal_runs(stopped, reference)


def test_a_run_without_a_whole_checkpoint_begins_anew(stopped: RunDir, reference: RunDir) -> None:
    for path in list_checkpoints(stopped):
        path.write_bytes(b"")
    assert train_here(stopped).state == State.COMPLETED
    assert "continuing" not in read_log(stopped, 2)
    assert_equal_runs(stopped, reference)


def test_a_run_that_was_killed_before_its_first_checkpoint_says_that_it_begins_anew(
    stopped: RunDir,
) -> None:
    for path in list_checkpoints(stopped):
        path.unlink()
    assert train_here(stopped).state == State.COMPLETED
    assert "begins anew: it had come to step 13, without a checkpoint" in read_log(stopped, 2)


def test_checkpoints_are_made_as_often_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_checkpoint_interval_s() == 300.0
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "2.5")
    assert find_checkpoint_interval_s() == 2.5


@pytest.mark.parametrize("text", ["often", "", "-1", "nan", "5m"])
def test_what_is_no_number_of_seconds_is_an_error_in_words(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKPOINT_VARIABLE, text)
    with pytest.raises(UsageError, match=f"{CHECKPOINT_VARIABLE}='{text}' is no number of seconds"):
        find_checkpoint_interval_s()


# ------------------------------------------------------------------------- owned by another


def test_a_run_that_another_live_process_trains_is_left_alone(
    tmp_path: Path, start_python: StartPython, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = make_run(tmp_path)
    other = start_python(ACQUIRE_AND_WAIT, run_dir.path)
    assert other.stdout is not None
    assert other.stdout.readline() == "1\n"
    before = take_snapshot(run_dir.path)
    with pytest.raises(RunOwnedError, match=f"already being trained by process {other.pid}"):
        train_here(run_dir)
    assert take_snapshot(run_dir.path) == before


# ------------------------------------------------------------------------------- superseded


def fail(*_arguments: object, **_options: object) -> None:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", "deleted by the other")


@pytest.mark.parametrize(
    ("place", "then"),
    [
        ("hpcexp.worker.attempt.read_run_config", read_run_config),
        ("hpcexp.worker.sink.list_checkpoints", list_checkpoints),
        ("hpcexp.train.checkpoint.write_checkpoint", write_checkpoint),
        ("hpcexp.train.checkpoint.write_checkpoint", fail),
    ],
    ids=[
        "before torch is imported",
        "before a checkpoint is read",
        "before a checkpoint gets its name",
        "before a write fails",
    ],
)
def test_a_superseded_attempt_writes_no_more_wherever_it_is(
    place: str,
    then: Callable[..., object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_dir = make_run(tmp_path)
    before: dict[str, tuple[bytes, int]] = {}

    def supersede_and_go_on(*arguments: object, **options: object) -> object:
        before.update(supersede(run_dir))
        return then(*arguments, **options)

    monkeypatch.setattr(place, supersede_and_go_on)
    train_here(run_dir)
    assert take_snapshot(run_dir.path) == before
    assert list_hidden(run_dir.path) == []
    assert "attempt 1 was superseded by" in caplog.text


# ----------------------------------------------------------------------------------- failed


def test_what_the_file_system_refuses_is_the_reason_of_a_failed_run(
    tmp_path: Path, reference: RunDir
) -> None:
    run_dir = make_run(tmp_path)
    run_dir.checkpoints_dir.touch()
    status = train_here(run_dir)
    assert status.state == State.FAILED
    assert status.reason == f"File exists ({run_dir.checkpoints_dir})"
    assert "then hpcexp resume" in status.hint
    assert "FileExistsError" in read_log(run_dir, 1)
    assert read_live_owner(run_dir) is None
    run_dir.checkpoints_dir.unlink()
    assert train_here(run_dir).state == State.FAILED
    ask_for(run_dir)
    assert train_here(run_dir).state == State.COMPLETED
    assert_equal_runs(run_dir, reference)


def test_rows_that_were_measured_before_a_failure_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(run_dir: RunDir) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sink_module, "remove_old_checkpoints", fill_up)
    run_dir = make_run(tmp_path)
    assert train_here(run_dir).reason == "No space left on device"
    assert read_last(run_dir.path)["train"].step == 30


def test_a_node_without_a_working_torch_fails_its_run_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    status = train_here(run_dir)
    assert status.state == State.FAILED
    assert "torch" in status.reason
    assert "ModuleNotFoundError" in read_log(run_dir, 1)


def test_an_end_that_cannot_be_written_down_does_not_reach_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write_while_running(run_dir: RunDir, status: RunStatus, **_: bool) -> None:
        if status.state != State.RUNNING:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_status(run_dir, status)

    monkeypatch.setattr(sink_module, "write_status", write_while_running)
    run_dir = make_run(tmp_path)
    assert train_here(run_dir).state == State.RUNNING
    assert f"{run_dir.name}: how it ended could not be written down" in caplog.text
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("name", ["status.json", "owner.json"])
def test_a_damaged_run_is_left_as_it_is_and_does_not_reach_the_next_run(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = make_run(tmp_path)
    (run_dir.path / name).write_text("{")
    before = take_snapshot(run_dir.path)
    run_module.train_run(run_dir, interruption=Interruption(), num_threads=1)
    assert take_snapshot(run_dir.path) == before
    assert f"{name}: damaged" in caplog.text


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (MemoryError(), "out of memory of the host", "--mem-gb"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 4 bytes\nmore"),
            "out of memory of the host: DefaultCPUAllocator: can't allocate memory: you tried 4 ",
            "--mem-gb",
        ),
        (
            RuntimeError("CUDA out of memory. Tried 2 GiB"),
            "out of memory on the GPU: CUDA out",
            "--mem-gb",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.pt"),
            "No space left on device (a.pt)",
            "make room",
        ),
        (HpcexpError("a.pt: of another seed (3)"), "a.pt: of another seed (3)", ""),
        (ValueError("widths differ\n  by 3"), "ValueError: widths differ", "hpcexp logs"),
        (ValueError(), "ValueError: ", "hpcexp logs"),
    ],
)
def test_errors_are_explained_in_a_line(error: Exception, reason: str, hint: str) -> None:
    found_reason, found_hint = explain(error)
    assert found_reason.startswith(reason)
    assert "\n" not in found_reason
    assert hint in found_hint
