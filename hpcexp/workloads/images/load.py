"""The images of a split, with the classes that all splits share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.images.cache import read_images_once
from hpcexp.workloads.images.config import ImageDataset, ImageFolder
from hpcexp.workloads.images.folder import find_class, list_images
from hpcexp.workloads.images.procedural import SHAPES, draw_shapes

Split = Literal["train", "validate"]
SPLITS: tuple[Split, ...] = ("train", "validate")


@dataclass(frozen=True)
class Images:
    """images (N, 3, H, W), RGB, uint8; labels (N,) are places in `classes`."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def load_images(settings: ImageDataset, *, split: Split, count: int, num_validate: int) -> Images:
    """The first `count` images of a split; `num_validate` are set apart for validation.

    Raises UsageError where there are fewer.
    """
    if isinstance(settings, ImageFolder):
        return _load_folder(settings, split=split, count=count, num_validate=num_validate)
    key = SPLITS.index(split)
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(key,)))
    images, labels = draw_shapes(count, size=settings.size, generator=generator)
    return Images(images, labels, tuple(SHAPES))


def list_classes(settings: ImageDataset) -> tuple[str, ...]:
    """The classes of all splits together: one map from labels to names, whatever a split has.

    Raises UsageError where there are no images.
    """
    if not isinstance(settings, ImageFolder):
        return tuple(SHAPES)
    names = {
        find_class(path, directory)
        for directory in _list_directories(settings)
        for path in list_images(directory)
    }
    return tuple(sorted(names))


def _list_directories(settings: ImageFolder) -> list[Path]:
    given = [settings.path, settings.validate_path]
    return [Path(text).expanduser() for text in given if text is not None]


def _load_folder(settings: ImageFolder, *, split: Split, count: int, num_validate: int) -> Images:
    classes = list_classes(settings)
    directories = _list_directories(settings)
    is_apart = len(directories) == 2
    directory = directories[1] if is_apart and split == "validate" else directories[0]
    paths = list_images(directory)
    # In an order of their own: names are often sorted by class or by time.
    order = np.random.default_rng(settings.seed).permutation(len(paths))
    shuffled = [paths[place] for place in order]
    if not is_apart and split == "train" and num_validate > 0:
        # Validation first: it stays the same when the training set grows. Where a file of it is
        # broken, the next one stands in: only reading tells where it ends.
        set_apart = read_images_once(
            shuffled, count=num_validate, settings=settings, wanted_for="validate_set_size"
        )
        shuffled = shuffled[set_apart.places[-1] + 1 :]
    read = read_images_once(
        shuffled, count=count, settings=settings, wanted_for=f"{split}_set_size"
    )
    kept = [shuffled[place] for place in read.places]
    labels = np.array([classes.index(find_class(path, directory)) for path in kept])
    return Images(read.images, labels, classes)
