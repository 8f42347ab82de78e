"""A run that diverges leaves what shows why, and goes on as its template says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from hpcexp.errors import SupersededError
from hpcexp.store.checkpoints import list_checkpoints, read_step
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import MetricsWriter, read_metrics
from hpcexp.store.ownership import evict
from hpcexp.store.status import RunStatus, State, read_status
from hpcexp.train.checkpoint import read_checkpoint
from hpcexp.worker import sink as sink_module
from hpcexp.worker.attempt import CHECKPOINT_VARIABLE
from tests.worker.conftest import (
    InterruptAfter,
    assert_equal_runs,
    list_hidden,
    make_run,
    supersede,
    take_snapshot,
    train_here,
)

WILD = {"lr": 1.0, "lr_schedule": {"kind": "cosine", "warm_up": 0.9}}
"""The rate rises until gradients jump: first at step 2 beyond 0.3, at step 22 (epoch 5) 0.6."""
RULES: dict[str, dict[str, Any]] = {
    "skip": {
        **WILD,
        "grad_explosion": 0.3,
        "on_divergence": {"kind": "skip", "max_skips": 40},
    },
    "rollback": {
        **WILD,
        "grad_explosion": 0.6,
        "on_divergence": {"kind": "rollback", "every": 3},
    },
}


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    torch.set_num_threads(1)
    run_dir = make_run(tmp_path_factory.mktemp("diverged"), lr=1e30)
    train_here(run_dir)
    return run_dir


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """A run of each rule that nobody interrupted."""
    torch.set_num_threads(1)
    run_dirs = {
        name: make_run(tmp_path_factory.mktemp(name), **changes) for name, changes in RULES.items()
    }
    for run_dir in run_dirs.values():
        train_here(run_dir)
    return run_dirs


def test_the_reason_says_where_it_began_and_the_hint_how_to_see_it(diverged: RunDir) -> None:
    status = read_status(diverged)
    assert status.state == State.DIVERGED
    assert f"became NaN at step {status.step} (epoch 1); first in the " in status.reason
    assert status.hint == f"hpcexp replay {diverged.experiment.name} {diverged.name}"


def test_the_record_is_tensors_and_plain_values_and_the_summary_is_json(diverged: RunDir) -> None:
    record = read_checkpoint(diverged.forensics_path)  # unpickles nothing else
    status = read_status(diverged)
    assert record["step"] == status.step
    checkpoint = read_checkpoint(list_checkpoints(diverged)[0])
    for name, tensor in checkpoint["state"]["parameters"].items():
        assert torch.equal(record["state"]["parameters"][name], tensor)
    summary = json.loads(diverged.divergence_path.read_text(), parse_constant=pytest.fail)
    assert (summary["step"], summary["action"]) == (status.step, "stopped")
    assert len(summary["samples"]) == 4
    assert summary["first"]["module"] in {norms["name"] for norms in summary["modules"]}


def test_a_run_directory_holds_at_most_eight_files_besides_checkpoints_and_logs(
    diverged: RunDir,
) -> None:
    assert len([path for path in diverged.path.iterdir() if path.is_file()]) <= 8
    assert list_hidden(diverged.path) == []


def test_a_run_that_does_not_diverge_leaves_no_record(reference: RunDir) -> None:
    assert not reference.forensics_path.exists()
    assert not reference.divergence_path.exists()


def test_a_record_that_cannot_be_written_does_not_change_how_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, value: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(sink_module, "write_json", refuse)
    run_dir = make_run(tmp_path, lr=1e30)
    monkeypatch.setattr(RunDir, "forensics_path", property(lambda d: d.path / "none" / "f.pt"))
    status = train_here(run_dir)
    assert status.state == State.DIVERGED
    assert "became NaN at step" in status.reason
    assert "; first in the output of " in status.reason
    assert status.hint == ""
    assert "looking into step" in run_dir.log_path(1).read_text()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("look", [3, 18])
def test_a_run_that_goes_on_after_divergences_is_resumed_bit_for_bit(
    tmp_path: Path,
    undisturbed: dict[str, RunDir],
    rule: str,
    look: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = undisturbed[rule]
    expected = read_status(whole)
    assert expected.skipped_steps + expected.rollbacks > 0
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    run_dir = make_run(tmp_path / "interrupted", **RULES[rule])
    train_here(run_dir, InterruptAfter(look))
    status = train_here(run_dir)
    assert (status.state, status.step) == (expected.state, expected.step)
    assert status.reason == expected.reason
    assert (status.skipped_steps, status.rollbacks) == (
        expected.skipped_steps,
        expected.rollbacks,
    )
    assert_equal_runs(run_dir, whole)


def test_skipped_steps_are_counted_in_the_metrics(undisturbed: dict[str, RunDir]) -> None:
    run_dir = undisturbed["skip"]
    status = read_status(run_dir)
    assert status.state == State.COMPLETED
    counts = read_metrics(run_dir.path).column("skipped_steps")
    assert sum(count for count in counts.tolist() if count == count) == status.skipped_steps > 0


def test_a_rollback_leaves_no_row_of_what_it_abandoned(
    tmp_path: Path, undisturbed: dict[str, RunDir]
) -> None:
    run_dir = undisturbed["rollback"]
    status = read_status(run_dir)
    assert (status.state, status.rollbacks) == (State.COMPLETED, 1)
    assert "at step 22 (epoch 5), above" in (log := run_dir.log_path(1).read_text())
    assert "back to step 15, with 0.5 times the learning rate" in log
    table = read_metrics(run_dir.path)
    trained = table.select(table.split == 0)
    assert trained.step.tolist() == [5, 10, 15, 20, 25, 30]
    summary = json.loads(run_dir.divergence_path.read_text())
    assert (summary["step"], summary["action"]) == (22, "rolled_back")
    # From epoch 4 on the rate is half of what it would have been.
    calm = make_run(tmp_path / "calm", **WILD)
    train_here(calm)
    rates = [read_metrics(d.path).column("schedule.lr") for d in (run_dir, calm)]
    ratios = [a / b for a, b in zip(*(r.tolist() for r in rates), strict=True) if a == a]
    assert ratios == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5])


def test_after_a_rollback_neither_status_nor_an_older_attempt_knows_what_was_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt before had come to step 21, and its checkpoints were the last two."""
    run_dir = make_run(tmp_path, **RULES["rollback"])
    with monkeypatch.context() as patch:
        patch.setenv(CHECKPOINT_VARIABLE, "0")
        train_here(run_dir, InterruptAfter(21))
    assert [read_step(path) for path in list_checkpoints(run_dir)] == [21, 20]
    assert list_shown(run_dir.path, read_status(run_dir)) == [20]
    rewind = sink_module.RunDirSink.rewind
    seen: list[tuple[list[int], list[int]]] = []

    def rewind_and_look(self: Any, *arguments: Any, **named: Any) -> None:
        rewind(self, *arguments, **named)
        steps = [read_step(path) for path in list_checkpoints(run_dir)]
        seen.append((steps, list_shown(run_dir.path, self.status)))

    monkeypatch.setattr(sink_module.RunDirSink, "rewind", rewind_and_look)
    assert train_here(run_dir).state == State.COMPLETED
    assert seen == [([15], [15])]


def list_shown(run_dir: Path, status: RunStatus) -> list[int]:
    """Steps of the evaluations of which a status has the metrics."""
    table = read_metrics(run_dir)
    losses = table.column("loss").tolist()
    return [
        int(step)
        for step, split, loss in zip(table.step, table.split, losses, strict=True)
        if split == 1 and loss == pytest.approx(status.metrics["loss"], rel=1e-6)
    ]


class KilledError(BaseException):
    """As sudden as SIGKILL: nothing in the worker catches it."""


@pytest.mark.parametrize("moment", ["before", "checkpoint", "newer", "rows"])
def test_a_run_that_is_killed_while_it_goes_back_loses_nothing(
    tmp_path: Path,
    undisturbed: dict[str, RunDir],
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CHECKPOINT_VARIABLE, "0")
    whole = undisturbed["rollback"]
    expected = read_status(whole)
    run_dir = make_run(tmp_path / "killed", **RULES["rollback"])
    with monkeypatch.context() as patch:
        kill_at(moment, patch)
        with pytest.raises(KilledError):
            train_here(run_dir)
    evict(run_dir)
    status = train_here(run_dir)
    assert (status.state, status.step, status.rollbacks) == (
        expected.state,
        expected.step,
        expected.rollbacks,
    )
    assert_equal_runs(run_dir, whole)


def kill_at(moment: str, patch: pytest.MonkeyPatch) -> None:
    """Die before a rollback writes, after its checkpoint is in place, and so on."""

    def die(*_: object, **__: object) -> None:
        raise KilledError

    sink = sink_module.RunDirSink
    if moment == "before":
        patch.setattr(sink, "rewind", die)
    elif moment == "rows":
        patch.setattr(MetricsWriter, "rewind", die)
    else:
        rewind = sink.rewind

        def rewind_and_die(self: Any, *arguments: Any, **named: Any) -> None:
            name = "list_checkpoints" if moment == "checkpoint" else "remove_old_checkpoints"
            patch.setattr(sink_module, name, die)
            rewind(self, *arguments, **named)

        patch.setattr(sink, "rewind", rewind_and_die)


def test_a_superseded_attempt_records_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, lr=1e30)
    before: dict[str, tuple[bytes, int]] = {}
    record = sink_module.RunDirSink.record_divergence

    def supersede_and_record(self: Any, *arguments: Any) -> None:
        before.update(supersede(run_dir))
        with pytest.raises(SupersededError):
            record(self, *arguments)
        record(self, *arguments)

    monkeypatch.setattr(sink_module.RunDirSink, "record_divergence", supersede_and_record)
    train_here(run_dir)
    assert take_snapshot(run_dir.path) == before


def test_statuses_of_older_versions_have_diverged_never() -> None:
    assert (RunStatus().skipped_steps, RunStatus().rollbacks) == (0, 0)
