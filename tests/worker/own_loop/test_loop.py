"""A run that trains by itself is told, followed, stopped and judged as any other."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import State, read_status
from hpcexp.worker.interruption import Interruption
from tests.store.conftest import wait_until
from tests.worker.conftest import ask_for, start_worker, train_here
from tests.worker.own_loop.conftest import MakeRun


def read_rows(run_dir: RunDir, name: str = "loss") -> list[tuple[int, int, str, float]]:
    table = read_metrics(run_dir.path)
    rows = [table.row(i) for i in range(len(table))]
    return [(r.epoch, r.step, r.split, r.values[name]) for r in rows]


def read_log(run_dir: RunDir, attempt: int = 1) -> str:
    return run_dir.log_path(attempt).read_text()


WHOLE = [
    (epoch, epoch, split, value)
    for epoch in (1, 2, 3, 4)
    for split, value in (("train", 2 * 0.5**epoch), ("validate", 4 * 0.25**epoch))
]
"""The rows of the training that was never disturbed."""


# ------------------------------------------------------------------------------- completed


def test_its_reports_are_the_rows_and_its_last_ones_the_metrics_of_the_run(
    make_run: MakeRun,
) -> None:
    run_dir = make_run()
    status = train_here(run_dir)
    assert (status.state, status.reason) == (State.COMPLETED, "")
    assert (status.epoch, status.num_epochs, status.step, status.num_steps) == (4, 4, 4, 4)
    assert read_rows(run_dir) == WHOLE
    assert status.metrics == {"loss": 4 * 0.25**4}


def test_what_it_prints_is_in_its_log(make_run: MakeRun) -> None:
    run_dir = make_run("sh -c 'echo to out; echo to err >&2'")
    train_here(run_dir)
    assert "to out\n" in read_log(run_dir)
    assert "to err\n" in read_log(run_dir)


def test_it_is_told_its_hyperparameters_seed_and_places(make_run: MakeRun, tmp_path: Path) -> None:
    command = (
        'sh -c \'echo "$HPCEXP_PARAM_RATE $HPCEXP_SEED $HPCEXP_RAND_INIT"; '
        'echo "budget $HPCEXP_PARAM_MAX_EPOCH of epoch $HPCEXP_EPOCH step $HPCEXP_STEP"; '
        'test -d "$HPCEXP_CHECKPOINT_DIR"; pwd; echo "$1"; cat "$2"\' sh {seed} {config_file}'
    )
    settings = {"rate": 0.25, "max_epoch": 8, "deep": {"width": 8}, "config_file": "given.json"}
    run_dir = make_run(command, **settings)
    assert train_here(run_dir).state == State.COMPLETED
    told = json.loads(run_dir.told_path(1).read_text())
    printed = read_log(run_dir)
    assert f"0.25 {told['seed']} 0\n" in printed
    assert "budget 8 of epoch 0 step 0\n" in printed
    assert f"{tmp_path}\n{told['seed']}\n" in printed
    assert '"deep": {\n    "width": 8' in printed


def test_the_seed_depends_on_the_initialisation_and_not_on_the_hyperparameters(
    make_run: MakeRun,
) -> None:
    seeds = []
    for rate in (0.1, 0.2):
        run_dir = make_run(rate=rate)
        train_here(run_dir)
        seeds.append(json.loads(run_dir.told_path(1).read_text())["seed"])
    assert seeds[0] == seeds[1]
    assert 0 <= seeds[0] < 2**31


def test_a_value_never_reaches_a_shell(make_run: MakeRun, tmp_path: Path) -> None:
    run_dir = make_run("echo {text}", text="$(touch harm); touch 'harm' `touch harm`")
    train_here(run_dir)
    assert "\n$(touch harm); touch 'harm' `touch harm`\n" in read_log(run_dir)
    assert not (tmp_path / "harm").exists()


def test_metrics_may_come_later_and_differ_between_reports(make_run: MakeRun) -> None:
    lines = [{"step": 10, "loss": 1.0}, {"step": 20, "split": "train", "late": 2.0}]
    text = "\n".join(map(json.dumps, lines))
    run_dir = make_run(
        'sh -c \'printf "%s\\n" "$1" >> "$HPCEXP_METRICS_FILE"\' sh {text}', text=text
    )
    status = train_here(run_dir)
    assert (status.state, status.step) == (State.COMPLETED, 20)
    table = read_metrics(run_dir.path)
    assert table.columns == ("loss", "late")
    assert table.row(0).values["loss"] == 1.0
    assert table.row(1).values["late"] == 2.0


def test_lines_that_are_no_reports_are_told_and_cost_no_run(make_run: MakeRun) -> None:
    text = '{"epoch": 1, "loss": 1}\n{"epoch": 2, "lo\n[1]\n{"epoch": 3, "loss": "low"}\n{"torn'
    run_dir = make_run('sh -c \'printf "%s" "$1" >> "$HPCEXP_METRICS_FILE"\' sh {text}', text=text)
    status = train_here(run_dir)
    assert status.state == State.COMPLETED
    assert status.reason.startswith("4 lines of its reports could not be read (line 2: no JSON")
    assert [row[0] for row in read_rows(run_dir)] == [1]


def test_a_run_that_never_reports_its_metric_says_so(make_run: MakeRun) -> None:
    run_dir = make_run(metric={"name": "accuracy_error"})
    status = train_here(run_dir)
    assert status.state == State.COMPLETED
    assert "never reported the metric accuracy_error (it reported loss)" in status.reason


# ---------------------------------------------------------------------------------- failed


def test_a_command_that_fails_is_a_failed_run_with_its_last_words(make_run: MakeRun) -> None:
    run_dir = make_run("{python} -c \"raise ValueError('the data are gone')\"")
    status = train_here(run_dir)
    assert (status.state, status.reason) == (
        State.FAILED,
        "exit code 1: ValueError: the data are gone",
    )
    assert "OwnLoopError" not in read_log(run_dir)


def test_memory_that_ends_in_the_training_is_told_apart(make_run: MakeRun) -> None:
    status = train_here(make_run("{python} -c \"raise RuntimeError('CUDA out of memory. Tried')\""))
    assert status.state == State.OUT_OF_MEMORY


def test_a_command_that_does_not_exist_says_where_it_was_looked_for(make_run: MakeRun) -> None:
    status = train_here(make_run("no-such-program --lr 1"))
    assert status.state == State.FAILED
    assert status.reason.startswith("command not found: no-such-program; it is looked for in PATH")


def test_a_value_that_is_not_finite_ends_the_run_as_diverged(make_run: MakeRun) -> None:
    text = '{"epoch": 1, "loss": 1}\n{"epoch": 2, "loss": NaN}\n'
    command = 'sh -c \'printf "%s" "$1" >> "$HPCEXP_METRICS_FILE"; sleep 60\' sh {text}'
    run_dir = make_run(command, text=text)
    status = train_here(run_dir)
    assert (status.state, status.reason) == (
        State.DIVERGED,
        "loss (validate) became NaN at epoch 2, step 2",
    )
    assert train_here(make_run(command.replace("60", "0"), text=text, on_nan="record")).state == (
        State.COMPLETED
    )


def test_a_rule_ends_it_early(make_run: MakeRun) -> None:
    rule = {"metric": "loss", "below": 0.1}
    status = train_here(make_run(pause=0.05, max_epoch=200, stop=[rule]))
    assert status.state == State.STOPPED
    assert status.reason == "loss (validate) is 0.0625, below 0.1, at epoch 3"
    assert status.epoch < 20


# ----------------------------------------------------------------------------- interrupted


def interrupt_after_two_epochs(run_dir: RunDir, number: signal.Signals) -> None:
    worker = start_worker(run_dir.experiment)
    worker.wait_until(lambda: read_status(run_dir).epoch >= 2, "the second epoch")
    worker.send(number)
    worker.join()


@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGTERM, State.INTERRUPTED), (signal.SIGUSR2, State.TIMED_OUT)]
)
def test_it_is_asked_to_stop_and_goes_on_from_its_own_checkpoint(
    make_run: MakeRun, number: signal.Signals, state: State
) -> None:
    run_dir = make_run(pause=0.7)
    interrupt_after_two_epochs(run_dir, number)
    status = read_status(run_dir)
    assert (status.state, status.attempt) == (state, 1)
    ask_for(run_dir)
    assert train_here(run_dir).state == State.COMPLETED
    assert f"begins after epoch {status.epoch}\n" in read_log(run_dir, 2)
    assert read_rows(run_dir) == WHOLE


def test_a_worker_that_is_killed_takes_the_training_with_it(make_run: MakeRun) -> None:
    run_dir = make_run("sh -c '{python} train.py 0.5 100000 0.05; true'")  # not the first of it
    interrupt_after_two_epochs(run_dir, signal.SIGKILL)
    wait_until(lambda: not list_trainings(run_dir), "the end of the training")
    assert read_status(run_dir).state == State.RUNNING  # it could say nothing


def test_a_run_whose_worker_was_killed_goes_on_from_its_own_checkpoint(make_run: MakeRun) -> None:
    run_dir = make_run(pause=0.7)
    interrupt_after_two_epochs(run_dir, signal.SIGKILL)
    ask_for(run_dir)
    status = train_here(run_dir)
    assert (status.state, status.attempt) == (State.COMPLETED, 2)
    assert read_rows(run_dir) == WHOLE


def list_trainings(run_dir: RunDir) -> list[str]:
    """Processes that were told of this run."""
    told = f"HPCEXP_RUN_DIR={run_dir.path}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if told in (entry / "environ").read_bytes() and int(entry.name) != os.getpid():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_training_that_begins_anew_replaces_the_rows_of_the_attempt_before(
    make_run: MakeRun,
) -> None:
    run_dir = make_run(pause=0.7)
    interrupt_after_two_epochs(run_dir, signal.SIGTERM)
    (run_dir.own_checkpoints_dir(1) / "weight.json").unlink()
    ask_for(run_dir)
    assert train_here(run_dir).state == State.COMPLETED
    assert "reports begin again at step 1" in read_log(run_dir, 2)
    assert read_rows(run_dir) == WHOLE


def test_a_report_that_a_dead_worker_did_not_read_is_recorded_by_the_next_attempt(
    make_run: MakeRun,
) -> None:
    run_dir = make_run(pause=0.7)
    interrupt_after_two_epochs(run_dir, signal.SIGTERM)
    epoch = read_status(run_dir).epoch + 1
    with run_dir.reports_path(1).open("a") as file:
        file.write(json.dumps({"epoch": epoch, "split": "train", "loss": 2 * 0.5**epoch}) + "\n")
        file.write(json.dumps({"epoch": epoch, "loss": 4 * 0.25**epoch}) + "\n")
    saved = run_dir.own_checkpoints_dir(1) / "weight.json"
    saved.write_text(json.dumps([epoch, 2 * 0.5**epoch]))
    ask_for(run_dir)
    assert train_here(run_dir).state == State.COMPLETED
    assert read_rows(run_dir) == WHOLE


def test_a_training_that_does_not_listen_is_killed_after_its_grace(make_run: MakeRun) -> None:
    run_dir = make_run("sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'", grace_s=0.3)
    interruption = Interruption()
    threading.Timer(1.0, interruption.request, [signal.SIGTERM]).start()
    status = train_here(run_dir, interruption)
    assert status.state == State.INTERRUPTED
    assert status.reason.endswith("; killed after 0.3 s")
    assert not list_trainings(run_dir)


def test_what_a_command_leaves_behind_is_ended(make_run: MakeRun) -> None:
    run_dir = make_run("sh -c 'sleep 60 & echo started'")
    assert train_here(run_dir).state == State.COMPLETED
    assert not list_trainings(run_dir)


def test_a_run_that_is_cancelled_is_cancelled(make_run: MakeRun) -> None:
    run_dir = make_run(pause=0.1, max_epoch=1000)
    run_dir.cancel_path.touch()
    assert train_here(run_dir).state == State.CANCELLED
