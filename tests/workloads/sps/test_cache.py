from __future__ import annotations

import json
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcexp.workloads.cache_dir import default_cache_dir
from hpcexp.workloads.sps import cache, dataset
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.dataset import draw_sequences
from tests.workloads.sps.sequences import SMALL, assert_same, find_entry, load


def is_mapped(array: object) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_the_second_load_comes_from_disk_and_is_the_same(tmp_path: Path, draws: list[int]) -> None:
    first = load(tmp_path)
    second = load(tmp_path)
    assert draws == [6]
    assert_same(first, second)
    assert_same(second, draw_sequences(SMALL, split="train", num_sequences=6))


def test_loaded_arrays_are_mapped_and_writing_into_them_leaves_the_cache_alone(
    tmp_path: Path, draws: list[int]
) -> None:
    sequences = load(tmp_path)
    assert is_mapped(sequences.images)
    assert is_mapped(sequences.positions)
    sequences.images[:] = 7
    sequences.positions[:] = 7
    again = load(tmp_path)
    assert draws == [6]
    assert_same(again, draw_sequences(SMALL, split="train", num_sequences=6))


def test_a_larger_entry_serves_a_smaller_request(tmp_path: Path, draws: list[int]) -> None:
    load(tmp_path, 9)
    small = load(tmp_path, 4)
    assert draws == [9]
    assert small.images.shape[0] == small.positions.shape[0] == 4
    assert_same(small, draw_sequences(SMALL, split="train", num_sequences=4))


def test_a_smaller_entry_is_extended_by_what_is_missing(tmp_path: Path, draws: list[int]) -> None:
    load(tmp_path, 4)
    large = load(tmp_path, 9)
    assert draws == [4, 5]
    assert_same(large, draw_sequences(SMALL, split="train", num_sequences=9))


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"ball_radius": 0.7}, {"resolution": 8}, {"num_frames": 5}],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_has_an_entry_of_its_own(
    tmp_path: Path, change: dict[str, float], draws: list[int]
) -> None:
    load(tmp_path)
    settings = SMALL.model_copy(update=change)
    changed = load(tmp_path, settings=settings)
    assert draws == [6, 6]
    assert_same(changed, draw_sequences(settings, split="train", num_sequences=6))


def test_splits_and_format_versions_have_entries_of_their_own(
    tmp_path: Path, draws: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path)
    load(tmp_path, split="validate")
    monkeypatch.setattr(cache, "FORMAT_VERSION", dataset.FORMAT_VERSION + 1)
    load(tmp_path)
    assert draws == [6, 6, 6]


def test_nothing_is_left_beside_the_entry(tmp_path: Path) -> None:
    load(tmp_path)
    entry_dir = find_entry(tmp_path)
    assert {path.name for path in entry_dir.parent.iterdir()} <= {"6", "lock"}
    names = {path.name for path in entry_dir.iterdir()}
    assert names == {"images.npy", "positions.npy", "entry.json"}
    assert json.loads((entry_dir / "entry.json").read_text())["settings"] == SMALL.model_dump(
        mode="json"
    )


def test_the_cache_directory_is_the_variable_then_xdg_then_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HPCEXP_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_dir() == tmp_path / "own"
    monkeypatch.setenv("HPCEXP_CACHE_DIR", "")
    assert default_cache_dir() == tmp_path / "xdg" / "hpcexp"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "hpcexp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "hpcexp"


def test_without_a_cache_directory_argument_the_default_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HPCEXP_CACHE_DIR", str(tmp_path))
    load_sequences(SMALL, split="train", num_sequences=2)
    assert find_entry(tmp_path, 2).is_dir()


def test_the_data_set_needs_no_torch() -> None:
    code = "import sys, hpcexp.workloads.sps.cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
