"""Images are decoded once; the cache is never the truth."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpcexp.workloads.images import cache
from hpcexp.workloads.images.cache import read_images_once
from hpcexp.workloads.images.config import ImageFolder
from hpcexp.workloads.images.folder import Read, read_images


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each decoding gave."""
    counts: list[int] = []

    def count_and_read(*arguments: object, **options: object) -> Read:
        found = read_images(*arguments, **options)  # type: ignore[arg-type]
        counts.append(len(found.images))
        return found

    monkeypatch.setattr(cache, "read_images", count_and_read)
    return counts


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Four images of one colour each, the second of them broken."""
    made = []
    for place in range(4):
        path = tmp_path / "images" / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 7), (10 * place, 0, 0)).save(path)
        made.append(path)
    made[1].write_bytes(b"no image")
    return made


def read(paths: list[Path], cache_dir: Path, *, count: int = 3, **settings: object) -> Read:
    folder = ImageFolder.model_validate(
        {"kind": "folder", "path": str(paths[0].parent), "resolution": 8, **settings}
    )
    return read_images_once(
        paths, count=count, settings=folder, wanted_for="train_set_size", cache_dir=cache_dir
    )


def test_images_are_decoded_once_and_come_back_bit_for_bit(
    paths: list[Path], tmp_path: Path, decoded: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = read(paths, tmp_path / "cache"), read(paths, tmp_path / "cache")
    assert decoded == [3]
    assert np.array_equal(first.images, second.images)
    assert first.places == second.places == (0, 2, 3)
    # What is broken is said by each run, not by the one that decoded alone.
    assert caplog.text.count("1 images cannot be read") == 2


@pytest.mark.parametrize("change", ["count", "size", "resize", "file"])
def test_other_files_or_settings_are_decoded_anew(
    paths: list[Path], tmp_path: Path, decoded: list[int], change: str
) -> None:
    read(paths, tmp_path / "cache")
    if change == "file":
        Image.new("RGB", (9, 7), (0, 200, 0)).save(paths[0])
        os.utime(paths[0], ns=(1, 1))
    count = 2 if change == "count" else 3
    changes: dict[str, dict[str, object]] = {
        "size": {"resolution": 12},
        "resize": {"resize": "stretch"},
    }
    settings = changes.get(change, {})
    found = read(paths, tmp_path / "cache", count=count, **settings)
    assert decoded == [3, count]
    assert change != "file" or found.images[0, 1].max() == 200


def test_a_damaged_entry_is_decoded_again_and_mended(
    paths: list[Path], tmp_path: Path, decoded: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    read(paths, tmp_path / "cache")
    (array,) = (tmp_path / "cache").rglob("images.npy")
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    assert np.array_equal(read(paths, tmp_path / "cache").images[2, 0], np.full((8, 8), 30))
    read(paths, tmp_path / "cache")
    assert decoded == [3, 3]
    assert "is damaged (its array differs from entry.json): decoded again" in caplog.text


def test_where_nothing_can_be_written_images_are_decoded_with_a_warning(
    paths: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert len(read(paths, tmp_path / "cache").images) == 3
    assert "set HPCEXP_CACHE_DIR to a directory that can be written" in caplog.text


def test_a_run_may_write_into_its_images_and_the_cache_stays(
    paths: list[Path], tmp_path: Path
) -> None:
    read(paths, tmp_path / "cache")
    mapped = read(paths, tmp_path / "cache").images
    mapped[:] = 255
    assert read(paths, tmp_path / "cache").images.max() == 30
