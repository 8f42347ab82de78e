from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcexp.store.checkpoints import claim_checkpoint, list_checkpoints, remove_old_checkpoints
from hpcexp.store.layout import RunDir


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path)
    run_dir.checkpoints_dir.mkdir()
    return run_dir


def add(run_dir: RunDir, *, attempt: int, step: int) -> Path:
    path = run_dir.checkpoint_path(attempt=attempt, step=step)
    path.write_text(f"{attempt}, {step}")
    return path


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert list_checkpoints(RunDir(tmp_path)) == []


def test_the_newest_attempt_comes_first_whatever_its_step(run_dir: RunDir) -> None:
    old = add(run_dir, attempt=1, step=1000)
    newer = add(run_dir, attempt=2, step=30)
    newest = add(run_dir, attempt=2, step=200)
    assert list_checkpoints(run_dir) == [newest, newer, old]


def test_a_claimed_checkpoint_is_newer_than_what_an_older_attempt_writes_later(
    run_dir: RunDir,
) -> None:
    path = add(run_dir, attempt=1, step=50)
    claim_checkpoint(run_dir, path, attempt=2, step=50)
    add(run_dir, attempt=1, step=75)
    newest = list_checkpoints(run_dir)[0]
    assert newest == run_dir.checkpoint_path(attempt=2, step=50)
    assert newest.read_text() == "1, 50"


def test_claiming_twice_is_claiming_once(run_dir: RunDir) -> None:
    path = add(run_dir, attempt=1, step=50)
    for _ in range(2):
        claim_checkpoint(run_dir, path, attempt=2, step=50)
    assert len(list_checkpoints(run_dir)) == 2


def test_a_file_system_without_hard_links_gets_a_copy(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = add(run_dir, attempt=1, step=50)
    claim_checkpoint(run_dir, path, attempt=2, step=50)
    assert list_checkpoints(run_dir)[0].read_text() == "1, 50"
    assert len(list(run_dir.checkpoints_dir.iterdir())) == 2


def test_the_last_two_are_kept_and_half_written_ones_go(run_dir: RunDir) -> None:
    paths = [add(run_dir, attempt=1, step=step) for step in (10, 20, 30)]
    (run_dir.checkpoints_dir / ".attempt_0001_step_0000000040.pt.99.tmp").write_text("half")
    remove_old_checkpoints(run_dir)
    assert sorted(run_dir.checkpoints_dir.iterdir()) == paths[1:]
