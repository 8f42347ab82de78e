from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pytest

from hpcexp.workloads.sps import dataset
from hpcexp.workloads.sps.bounce import stay_in_bounds
from hpcexp.workloads.sps.config import BounceDataset
from hpcexp.workloads.sps.dataset import (
    Sequences,
    Split,
    default_cache_dir,
    draw_sequences,
    load_sequences,
)
from hpcexp.workloads.sps.render import render

SMALL = BounceDataset(resolution=16, num_frames=4)

LOAD_IN_PROCESS = """
import hashlib, logging, sys
from pathlib import Path
from hpcexp.workloads.sps.config import BounceDataset
from hpcexp.workloads.sps.dataset import load_sequences
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
sys.stdin.readline()
settings = BounceDataset(resolution=16, num_frames=4)
sequences = load_sequences(
    settings, split="train", num_sequences=int(sys.argv[2]), cache_dir=Path(sys.argv[1])
)
print("DIGEST", hashlib.sha256(sequences.images[:50].tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="hpcexp")


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sequences each call of the renderer drew."""
    counts: list[int] = []

    def count_and_render(centres: np.ndarray, **options: object) -> np.ndarray:
        counts.append(len(centres))
        return render(centres, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset, "render", count_and_render)
    return counts


def load(
    cache_dir: Path,
    num_sequences: int = 6,
    *,
    settings: BounceDataset = SMALL,
    split: Split = "train",
) -> Sequences:
    return load_sequences(settings, split=split, num_sequences=num_sequences, cache_dir=cache_dir)


def find_entry(cache_dir: Path, num_sequences: int = 6) -> Path:
    (entry_dir,) = cache_dir.glob(f"sps/*/{num_sequences}")
    return entry_dir


def assert_same(left: Sequences, right: Sequences) -> None:
    np.testing.assert_array_equal(left.images, right.images)
    np.testing.assert_array_equal(left.positions, right.positions)


def is_mapped(array: object) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


# What is drawn


def test_shapes_and_types_are_those_promised() -> None:
    sequences = draw_sequences(SMALL, split="train", num_sequences=5)
    assert sequences.images.shape == (5, 4, 3, 16, 16)
    assert sequences.images.dtype == np.uint8
    assert sequences.positions.shape == (5, 4, 3)
    assert sequences.positions.dtype == np.float32


def test_fewer_sequences_are_the_beginning_of_more() -> None:
    few = draw_sequences(SMALL, split="train", num_sequences=64)
    many = draw_sequences(SMALL, split="train", num_sequences=128)
    assert_same(few, Sequences(images=many.images[:64], positions=many.positions[:64]))


def test_train_and_validate_share_no_sequence() -> None:
    train = draw_sequences(SMALL, split="train", num_sequences=200).positions
    validate = draw_sequences(SMALL, split="validate", num_sequences=200).positions
    starts = {tuple(start) for start in train[:, 0].tolist()}
    assert starts.isdisjoint(tuple(start) for start in validate[:, 0].tolist())


@pytest.mark.parametrize("split", ["train", "validate"])
def test_the_same_seed_repeats_and_another_differs(split: Split) -> None:
    first = draw_sequences(SMALL, split=split, num_sequences=5)
    assert_same(first, draw_sequences(SMALL, split=split, num_sequences=5))
    other_seed = SMALL.model_copy(update={"seed": 1})
    other = draw_sequences(other_seed, split=split, num_sequences=5)
    assert not np.isclose(first.positions, other.positions).any()


def test_radius_and_resolution_change_the_images_but_not_the_flights() -> None:
    changed = SMALL.model_copy(update={"ball_radius": 1.0, "resolution": 32})
    small = draw_sequences(SMALL, split="train", num_sequences=5)
    large = draw_sequences(changed, split="train", num_sequences=5)
    np.testing.assert_array_equal(small.positions, large.positions)
    assert large.images.shape == (5, 4, 3, 32, 32)


def test_the_images_show_a_green_ball_on_grey_in_every_frame() -> None:
    settings = BounceDataset()
    sequences = draw_sequences(settings, split="train", num_sequences=30)
    assert stay_in_bounds(sequences.positions.astype(np.float64)).all()
    red, green, blue = np.moveaxis(sequences.images.astype(int), 2, 0)
    assert np.median(green) == np.median(red) == 153
    np.testing.assert_array_equal(red, blue)
    assert np.all((green - red).max(axis=(-1, -2)) > 60)


def test_the_numbers_of_this_format_version_are_pinned() -> None:
    """Where this fails on purpose, FORMAT_VERSION must count up: caches hold old numbers."""
    sequences = draw_sequences(BounceDataset(), split="train", num_sequences=8)
    digest = hashlib.sha256(sequences.images.tobytes() + sequences.positions.tobytes())
    assert (dataset.FORMAT_VERSION, digest.hexdigest()[:16]) == (1, "69219b998beffa1e")


# What is kept


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


def test_images_of_other_flights_are_not_taken_over(draws: list[int]) -> None:
    other = draw_sequences(SMALL, split="validate", num_sequences=4)
    sequences = draw_sequences(SMALL, split="train", num_sequences=6, first=other)
    assert draws == [4, 6]
    assert_same(sequences, draw_sequences(SMALL, split="train", num_sequences=6))


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
    monkeypatch.setattr(dataset, "FORMAT_VERSION", dataset.FORMAT_VERSION + 1)
    load(tmp_path)
    assert draws == [6, 6, 6]


def test_nothing_is_left_beside_the_entry(tmp_path: Path) -> None:
    load(tmp_path)
    entry_dir = find_entry(tmp_path)
    assert {path.name for path in entry_dir.parent.iterdir()} <= {"6", "lock"}
    names = {path.name for path in entry_dir.iterdir()}
    assert names == {"images.npy", "positions.npy", "entry.json"}
    assert json.loads((entry_dir / "entry.json").read_text())["settings"] == SMALL.model_dump()


# What goes wrong


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
    monkeypatch.setattr(dataset, "LOCK_TIMEOUT_S", 0.05)
    with filelock.FileLock(find_entry(tmp_path, 2).parent / "lock"):
        assert len(load(tmp_path, 3).images) == 3
    assert "cannot be used" in caplog.text


# Several processes


def test_what_another_process_drew_meanwhile_is_not_drawn_again(
    tmp_path: Path, draws: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = filelock.FileLock.acquire

    def let_another_go_first(lock: filelock.FileLock) -> object:
        monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
        load(tmp_path)
        return lock.acquire()

    monkeypatch.setattr(filelock.FileLock, "acquire", let_another_go_first)
    load(tmp_path)
    assert draws == [6]


def start_process(cache_dir: Path, num_sequences: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD_IN_PROCESS, str(cache_dir), str(num_sequences)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish_together(processes: list[subprocess.Popen[str]]) -> list[str]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def test_of_processes_that_want_the_same_one_draws_and_all_get_it(tmp_path: Path) -> None:
    outputs = finish_together([start_process(tmp_path, 200) for _ in range(4)])
    assert "".join(outputs).count("INFO drew 200 ") == 1
    digests = {output.split("DIGEST ")[1] for output in outputs}
    expected = draw_sequences(SMALL, split="train", num_sequences=50).images
    assert digests == {hashlib.sha256(expected.tobytes()).hexdigest() + "\n"}


def test_processes_that_want_different_numbers_agree_on_the_beginning(tmp_path: Path) -> None:
    outputs = finish_together([start_process(tmp_path, 50 * n) for n in (1, 2, 3, 4)])
    assert "WARNING" not in "".join(outputs)
    assert len({output.split("DIGEST ")[1] for output in outputs}) == 1


def test_what_a_killed_process_left_is_cleared_and_never_read(tmp_path: Path) -> None:
    dying = LOAD_IN_PROCESS.replace(
        "sys.stdin.readline()",
        "import json, os, signal\njson.dumps = lambda *a, indent=None, dumps=json.dumps, **k: "
        "os.kill(os.getpid(), signal.SIGKILL) if indent else dumps(*a, **k)",
    )
    command = [sys.executable, "-c", dying, str(tmp_path), "6"]
    killed = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed
    (key_dir,) = (tmp_path / "sps").iterdir()
    assert [path.name[:7] for path in key_dir.iterdir() if path.name != "lock"] == [".aside-"]
    assert_same(load(tmp_path), draw_sequences(SMALL, split="train", num_sequences=6))
    assert {path.name for path in key_dir.iterdir()} <= {"6", "lock"}


# Where it is kept


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


def test_the_data_set_needs_no_torch() -> None:
    code = "import sys, hpcexp.workloads.sps.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
