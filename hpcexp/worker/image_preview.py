"""What an image data set looks like: some images of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hpcexp.train.inspection import ImageGrid
from hpcexp.worker.inspection.images import render_grid
from hpcexp.workloads.images.config import ImageDataset
from hpcexp.workloads.images.load import Split, load_images

IMAGES_PER_CLASS = 8


@dataclass(frozen=True)
class ImagePreview:
    """A picture as bytes, and how many images each class has."""

    sheet_png: bytes
    class_counts: Mapping[str, int]


def make_image_preview(
    settings: ImageDataset, *, split: Split, count: int, num_validate: int, headline: str
) -> ImagePreview:
    """Load the first `count` images of a split; a row for each class shows its first ones.

    Raises UsageError where there are fewer images.
    """
    loaded = load_images(settings, split=split, count=count, num_validate=num_validate)
    places = [np.flatnonzero(loaded.labels == label) for label in range(len(loaded.classes))]
    columns = min(IMAGES_PER_CLASS, max(len(own) for own in places))
    shape = (len(places), columns)
    images = np.zeros((*shape, *loaded.images.shape[2:], 3), np.uint8)
    is_shown = np.zeros(shape, bool)
    for row, own in enumerate(places):
        shown = own[:columns]
        images[row, : len(shown)] = np.moveaxis(loaded.images[shown], 1, -1)
        is_shown[row, : len(shown)] = True
    grid = ImageGrid(
        title=f"{split} set: the first images of each class",
        images_RCHW3=images,
        row_labels=list(loaded.classes),
        column_labels=[""] * columns,
        is_shown_RC=is_shown,
    )
    counts = {name: len(own) for name, own in zip(loaded.classes, places, strict=True)}
    return ImagePreview(render_grid(grid, headline=headline), counts)
