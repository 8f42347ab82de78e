"""Images drawn from their seed: a shape on a background, six classes of shapes.

Shape suffixes: N images, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUMBERS_PER_IMAGE = 13
SOFT_PIXELS = 0.75
"""Width of a shape's edge in pixels."""


def draw_shapes(
    num_images: int, *, size: tuple[int, int], generator: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images (N, 3, H, W), RGB from 0 to 255, and the index of each one's shape in `SHAPES`.

    Fewer images are the beginning of more. Classes take turns, so that any number of images
    has as many of one class as of another, give or take one.
    """
    uniform = generator.random((num_images, NUMBERS_PER_IMAGE))
    labels = np.arange(num_images) % len(SHAPES)
    images = np.empty((num_images, 3, *size), np.uint8)
    for label, distance in enumerate(SHAPES.values()):
        is_one = labels == label
        images[is_one] = _draw(uniform[is_one], distance, size)
    return images, labels


def _draw(
    uniform: Floats, distance: Callable[[Floats, Floats], Floats], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    columns = uniform[:, :, None, None]
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    radius = 0.35 + 0.35 * columns[:, 0]
    angle = 2 * np.pi * columns[:, 1]
    dx, dy = x - 0.8 * (columns[:, 2] - 0.5), y - 0.8 * (columns[:, 3] - 0.5)
    across = (np.cos(angle) * dx + np.sin(angle) * dy) / radius
    along = (np.cos(angle) * dy - np.sin(angle) * dx) / radius
    pixels = distance(across, along) * radius * min(size) / 2
    coverage_N1HW = np.clip(0.5 - pixels / SOFT_PIXELS, 0, 1)[:, None]
    ground = columns[:, 4:7]
    # A third of the colour circle apart in every channel: a shape is always seen.
    colour = (ground + 0.35 + 0.3 * columns[:, 7:10]) % 1.0
    slope = 0.4 * ((columns[:, 10] - 0.5) * x + (columns[:, 11] - 0.5) * y)[:, None]
    light = 0.7 + 0.3 * columns[:, 12][:, None]
    image = light * (ground * (1 - coverage_N1HW) + colour * coverage_N1HW) + slope
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _disc(u: Floats, v: Floats) -> Floats:
    distance: Floats = np.hypot(u, v) - 1
    return distance


def _ring(u: Floats, v: Floats) -> Floats:
    distance: Floats = np.abs(np.hypot(u, v) - 0.75) - 0.22
    return distance


def _square(u: Floats, v: Floats) -> Floats:
    return _bar(u, v, 0.85, 0.85)


def _triangle(u: Floats, v: Floats) -> Floats:
    distance: Floats = np.maximum(0.866 * np.abs(u) + 0.5 * v, -v) - 0.55
    return distance


def _cross(u: Floats, v: Floats) -> Floats:
    distance: Floats = np.minimum(_bar(u, v, 0.3, 1), _bar(u, v, 1, 0.3))
    return distance


def _stripes(u: Floats, v: Floats) -> Floats:
    nearest = u - np.clip(np.round(u / 0.7), -1, 1) * 0.7
    return _bar(nearest, v, 0.17, 1)


def _bar(u: Floats, v: Floats, half_width: float, half_height: float) -> Floats:
    distance: Floats = np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)
    return distance


SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "stripes": _stripes,
}
"""The distance from a shape's edge, negative within, of points where the shape has radius 1."""
