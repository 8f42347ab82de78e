"""Colours of balls, and images of balls of any colours.

An image is linear in its colours: drawn once with one channel for each ball, it says how
much of each pixel a ball covers, whatever its colour.
"""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

MIN_CONTRAST = 0.5
"""Least distance (RGB from 0 to 1) of a random colour from the background."""
MIN_HUE_DISTANCE = 0.25
"""Least distance of two balls' hues, in turns."""


def draw_colours(
    num_sequences: int,
    *,
    num_balls: int,
    background: tuple[float, float, float],
    generator: np.random.Generator,
) -> Floats:
    """Random colours, RGB from 0 to 1: (num_sequences, num_balls, 3).

    Bright colours of random hue that differ from the background, and from each other. A
    smaller number of sequences is the beginning of a larger one.
    """
    found: list[list[tuple[float, float, float]]] = []
    while len(found) < num_sequences:
        hues, saturations, values = generator.random((3, num_balls))
        colours = [
            colorsys.hsv_to_rgb(hue, 0.6 + 0.4 * saturation, 0.7 + 0.3 * value)
            for hue, saturation, value in zip(hues, saturations, values, strict=True)
        ]
        contrast = min(np.linalg.norm(np.subtract(c, background)) for c in colours)
        gaps = [abs((a - b + 0.5) % 1 - 0.5) for i, a in enumerate(hues) for b in hues[:i]]
        if contrast >= MIN_CONTRAST and min(gaps, default=1.0) >= MIN_HUE_DISTANCE:
            found.append(colours)
    return np.array(found).reshape(num_sequences, num_balls, 3)


def make_coverage_palette(num_balls: int) -> Floats:
    """Colours (num_balls, 3) with which a drawn image tells each ball's coverage, up to three."""
    return np.eye(3)[:num_balls]


def colour_coverage(
    coverage_NTCHW: Bytes, colours_NB3: Floats, *, background: tuple[float, float, float]
) -> Bytes:
    """Images in the colours of each sequence, from images drawn with the coverage palette."""
    num_balls = colours_NB3.shape[1]
    painted = np.empty_like(coverage_NTCHW)
    # A sequence at a time: floats of a whole data set would not fit into the cache.
    for image_TCHW, coverage, colours in zip(painted, coverage_NTCHW, colours_NB3, strict=True):
        contrast_B3 = colours - np.asarray(background)
        share = coverage[:, :num_balls].astype(np.float64)
        mixed = np.einsum("tbhw,bc->tchw", share, contrast_B3)
        base = 255 * np.asarray(background)[:, None, None]
        image_TCHW[:] = np.rint(base + mixed)
    return painted
