from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pytest

from hpcexp.workloads.sps import cache
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.dataset import draw_sequences
from tests.workloads.sps.sequences import SMALL, assert_same, find_entry, load


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="hpcexp")


def flip_a_byte(entry_dir: Path) -> None:
    content = bytearray((entry_dir / "images.npy").read_bytes())
    content[-100] ^= 1
    (entry_dir / "images.npy").write_bytes(content)


def truncate_images(entry_dir: Path) -> None:
    os.truncate(entry_dir / "images.npy", 1000)


def empty_positions(entry_dir: Path) -> None:
    os.truncate(entry_dir / "positions.npy", 0)


def remove_positions(entry_dir: Path) -> None:
    (entry_dir / "positions.npy").unlink()


def remove_record(entry_dir: Path) -> None:
    (entry_dir / "entry.json").unlink()


def garble_record(entry_dir: Path) -> None:
    (entry_dir / "entry.json").write_bytes(b"\xff{")


def replace_record(entry_dir: Path) -> None:
    (entry_dir / "entry.json").write_text("[1, 2]")


def replace_by_file(entry_dir: Path) -> None:
    for path in entry_dir.iterdir():
        path.unlink()
    entry_dir.rmdir()
    entry_dir.write_text("not a directory")


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        truncate_images,
        empty_positions,
        remove_positions,
        remove_record,
        garble_record,
        replace_record,
        replace_by_file,
    ],
)
def test_a_damaged_entry_is_noticed_and_made_again(
    tmp_path: Path,
    damage: Callable[[Path], None],
    draws: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = draw_sequences(SMALL, split="train", num_sequences=6)
    load(tmp_path)
    damage(find_entry(tmp_path))
    assert_same(load(tmp_path), expected)
    assert "is damaged" in caplog.text
    assert_same(load(tmp_path), expected)
    assert draws == [6, 6, 6]  # the oracle, the first and the second making


def test_an_entry_under_the_name_of_another_size_is_not_believed(tmp_path: Path) -> None:
    load(tmp_path, 4)
    entry_dir = find_entry(tmp_path, 4)
    entry_dir.rename(entry_dir.with_name("9"))
    assert len(load(tmp_path, 9).images) == 9


def test_a_damaged_larger_entry_does_not_hide_a_sound_one(tmp_path: Path, draws: list[int]) -> None:
    load(tmp_path, 4)
    load(tmp_path, 6)
    flip_a_byte(find_entry(tmp_path, 4))
    assert_same(load(tmp_path, 3), draw_sequences(SMALL, split="train", num_sequences=3))
    assert draws == [4, 2, 3]


def test_a_cache_that_cannot_be_made_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no directory can be made here")
    sequences = load(tmp_path / "file")
    assert_same(sequences, draw_sequences(SMALL, split="train", num_sequences=6))
    assert "cannot be used" in caplog.text
    assert "HPCEXP_CACHE_DIR" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_the_right_to_write_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o500)
    assert len(load(tmp_path).images) == 6
    assert "cannot be used" in caplog.text


def test_a_full_disk_costs_a_warning_only_and_leaves_nothing_behind(
    tmp_path: Path,
    draws: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fill_disk)
    sequences = load(tmp_path)
    assert len(sequences.images) == 6
    assert draws == [6]
    assert "No space left" in caplog.text
    (key_dir,) = (tmp_path / "sps").iterdir()
    assert {path.name for path in key_dir.iterdir()} <= {"lock"}


@pytest.mark.parametrize("error", [OSError("no locks"), NotImplementedError("no flock")])
def test_a_file_system_without_locks_serves_what_it_has_and_warns_otherwise(
    tmp_path: Path,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load(tmp_path, 6)

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    load(tmp_path, 5)
    assert caplog.text == ""
    assert len(load(tmp_path, 7).images) == 7
    assert "cannot be used" in caplog.text


def test_a_lock_held_for_too_long_is_not_waited_for_any_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, 2)
    monkeypatch.setattr(cache, "LOCK_TIMEOUT_S", 0.05)
    with filelock.FileLock(find_entry(tmp_path, 2).parent / "lock"):
        assert len(load(tmp_path, 3).images) == 3
    assert "cannot be used" in caplog.text


def test_without_any_home_the_sequences_are_drawn_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def have_no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HPCEXP_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", have_no_home)
    assert len(load_sequences(SMALL, split="train", num_sequences=2).images) == 2
    assert "no home directory" in caplog.text
