"""Images as people have them: any size, any mode, some of them broken."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpcexp.errors import UsageError
from hpcexp.workloads.images.config import ImageFolder
from hpcexp.workloads.images.folder import list_images, read_image, to_rgb
from hpcexp.workloads.images.load import Images, Split, list_classes, load_images

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
MODES = ["RGB", "L", "RGBA", "LA", "P", "1", "I;16", "CMYK"]


def save(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def make_folder(directory: Path, *, count: int = 6) -> Path:
    for number in range(count):
        save(directory / "cats" / f"{number}.png", RED)
        save(directory / "dogs" / f"{number}.jpg", BLUE)
    return directory


def load(
    path: Path, *, count: int, split: Split = "train", num_validate: int = 0, **settings: object
) -> Images:
    dataset = ImageFolder.model_validate({"path": str(path), "resolution": 8, **settings})
    return load_images(dataset, split=split, count=count, num_validate=num_validate)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb_of_eight_bits(mode: str) -> None:
    if mode == "I;16":
        given = Image.fromarray(np.full((4, 4), 200 << 8, np.uint16))
    else:
        given = Image.new("RGB", (4, 4), (200, 200, 200)).convert(mode)
    rgb = np.asarray(to_rgb(given))
    assert rgb.shape == (4, 4, 3)
    if mode != "1":  # dithered
        assert np.abs(rgb.astype(int) - 200).max() <= 5  # a palette has steps


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert np.asarray(to_rgb(clear)).min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png", size=(4, 4), resize="crop").min() == 255


def test_height_and_width_are_not_swapped(tmp_path: Path) -> None:
    path = tmp_path / "tall.png"
    tall = Image.new("RGB", (10, 40), RED)
    tall.paste(BLUE, (0, 20, 10, 40))  # red above blue
    tall.save(path)
    image = read_image(path, size=(16, 8), resize="stretch")
    assert image.shape == (3, 16, 8)
    assert image[:, 0, 4].tolist() == list(RED)
    assert image[:, 15, 4].tolist() == list(BLUE)


def test_a_crop_keeps_proportions_and_a_stretch_does_not(tmp_path: Path) -> None:
    wide = Image.new("RGB", (40, 10), RED)
    wide.paste(BLUE, (0, 0, 10, 10))
    wide.save(tmp_path / "wide.png")
    kept = read_image(tmp_path / "wide.png", size=(8, 8), resize="crop")
    stretched = read_image(tmp_path / "wide.png", size=(8, 8), resize="stretch")
    assert kept[2].max() == 0  # the blue edge was cut off
    assert stretched[2].max() == 255


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), RED)
    exif = image.getexif()
    exif[0x0112] = 6  # orientation: a quarter turn
    path = tmp_path / "turned.jpg"
    image.paste(BLUE, (0, 0, 10, 10))
    image.save(path, exif=exif)
    turned = read_image(path, size=(20, 10), resize="stretch")
    assert turned[2, 2, 5] > 200  # what was at the left is above
    assert turned[2, 17, 5] < 50


def test_classes_are_the_same_in_both_splits_though_one_lacks_some(tmp_path: Path) -> None:
    for name in ("b", "c"):
        save(tmp_path / "train" / name / "1.png", GREEN)
    for name in ("a", "c"):
        save(tmp_path / "validate" / name / "1.png", GREEN)
    paths = {"path": tmp_path / "train", "validate_path": str(tmp_path / "validate")}
    settings = ImageFolder(path=str(paths["path"]), validate_path=str(paths["validate_path"]))
    assert list_classes(settings) == ("a", "b", "c")
    splits: tuple[Split, ...] = ("train", "validate")
    names = []
    for split in splits:
        loaded = load_images(settings, split=split, count=2, num_validate=2)
        names.append(sorted(loaded.classes[label] for label in loaded.labels))
    assert names == [["b", "c"], ["a", "c"]]


def test_validation_images_are_set_apart_and_stay_when_training_grows(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for number, path in enumerate(list_images(tmp_path)):
        save(path.with_suffix(".png"), (number * 20, 0, 0))
        path.unlink() if path.suffix == ".jpg" else None
    validate = load(tmp_path, count=4, split="validate", num_validate=4)
    train = load(tmp_path, count=8, num_validate=4)
    seen = [set(part.images[:, 0, 0, 0].tolist()) for part in (validate, train)]
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == 12
    fewer = load(tmp_path, count=3, num_validate=4)
    assert np.array_equal(fewer.images, train.images[:3])


def test_another_image_stands_in_for_a_broken_one_in_either_split(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path / f"{number}.png", (number * 20, 0, 0))
    for path in list_images(tmp_path):
        content = path.read_bytes()
        path.write_bytes(b"not an image")
        validate = load(tmp_path, count=3, split="validate", num_validate=3)
        train = load(tmp_path, count=4, num_validate=3)
        seen = [part.images[:, 0, 0, 0].tolist() for part in (validate, train)]
        assert len({*seen[0], *seen[1]}) == 7
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\nrubbish"])
def test_a_broken_file_is_skipped_and_named(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    make_folder(tmp_path, count=3)
    (tmp_path / "cats" / "broken.png").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        loaded = load(tmp_path, count=6)
    assert len(loaded.images) == 6
    with pytest.raises(UsageError, match="train_set_size is 7, but there are 6") as caught:
        load(tmp_path, count=7)
    assert "1 cannot be read" in str(caught.value)
    assert "broken.png" in caplog.text


def test_a_file_that_was_cut_off_is_broken_and_may_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UsageError, match=r"cannot read .*cut.png.*on_broken: skip"):
        load(tmp_path, count=1, on_broken="fail")


@pytest.mark.parametrize("make", [False, True])
def test_a_directory_that_is_missing_or_empty_is_said(tmp_path: Path, make: bool) -> None:
    path = tmp_path / "nowhere"
    if make:
        path.mkdir()
    with pytest.raises(UsageError, match="has no image" if make else "there is no directory"):
        load(path, count=1)
