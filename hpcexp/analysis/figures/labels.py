"""The distribution of a data set's true coordinates: each alone, and each pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.page import finish_page, make_figure
from hpcexp.analysis.figures.style import CATEGORICAL, set_title, tidy

NUM_BINS = 30
MAX_COORDINATES = 3
"""Panels for the first so many: of two bodies the second mirrors the first."""

Labels = npt.NDArray[np.float32]


def draw_labels(labels: Labels, coordinates: Sequence[str], *, headline: str, stem: str) -> Drawing:
    """Histograms of the first coordinates (frames, D), then a density for each pair of them."""
    names = list(coordinates[:MAX_COORDINATES])
    pairs = [(i, j) for j in range(len(names)) for i in range(j)]
    figure, axes = make_figure(axes_width=2.0, axes_height=1.9, num_columns=len(names) + len(pairs))
    for place, name in enumerate(names):
        draw_histogram(axes[place], labels[:, place], name=name)
    for ax, (i, j) in zip(axes[len(names) :], pairs, strict=True):
        draw_density(ax, labels[:, i], labels[:, j], names=(names[i], names[j]))
    rest = f" Of {len(coordinates)} coordinates the first {len(names)} are drawn." * (
        len(coordinates) > len(names)
    )
    finish_page(
        figure,
        headline=headline,
        footnote=f"n = {len(labels):,} frames. Darker cells hold more frames.{rest}",
    )
    return Drawing(stem, figure, summarise_labels(labels, coordinates))


def draw_histogram(ax: Axes, values: npt.NDArray[np.float32], *, name: str) -> Axes:
    """Share of frames in each bin of one coordinate."""
    weights = np.full(len(values), 1 / len(values))
    ax.hist(values, bins=NUM_BINS, weights=weights, color=CATEGORICAL[0])
    ax.set(xlabel=f"{name} (m)", ylabel="share of frames")
    set_title(ax, name)
    tidy(ax)
    return ax


def draw_density(
    ax: Axes,
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    *,
    names: tuple[str, str],
) -> Axes:
    """Where frames lie in the plane of two coordinates."""
    ax.hist2d(x, y, bins=NUM_BINS, cmap="Blues")
    ax.set(xlabel=f"{names[0]} (m)", ylabel=f"{names[1]} (m)")
    set_title(ax, f"{names[0]} and {names[1]}")
    return ax


def summarise_labels(labels: Labels, coordinates: Sequence[str]) -> pd.DataFrame:
    """Range, mean and spread of each coordinate, a row each."""
    exact = labels.astype(np.float64)
    return pd.DataFrame(
        {
            "coordinate": list(coordinates),
            "min": exact.min(axis=0),
            "mean": exact.mean(axis=0),
            "max": exact.max(axis=0),
            "std": exact.std(axis=0),
        }
    )
