"""A heat map with its numbers in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hpcexp.analysis.figures.page import NORMAL, SMALL, as_plain_text, measure

_CELL_WIDTH, _CELL_HEIGHT = 0.66, 0.3  # inches
_DARK_PART = 0.6
_INVISIBLE_PART = 1e-3
OUTLIER_QUANTILE = 0.85
"""A signed colour scale ends where one value that is far off would leave the others white."""


class MatrixSize(NamedTuple):
    """Inches: what row labels need, and all cells together."""

    left: float
    width: float
    height: float


def measure_matrix(matrix: pd.DataFrame) -> MatrixSize:
    """The room that a matrix needs."""
    labels = [as_plain_text(str(label)) for label in matrix.index]
    left = max(measure(label, fontsize=NORMAL)[0] for label in labels) + 0.2
    rows, columns = matrix.shape
    return MatrixSize(left, _CELL_WIDTH * columns, _CELL_HEIGHT * rows)


def choose_limit(matrix: pd.DataFrame, *, is_signed: bool) -> float:
    """The value of the strongest colour; cells beyond it have that colour too."""
    sizes = np.abs(matrix.to_numpy(float))
    finite = sizes[np.isfinite(sizes)]
    if not len(finite):
        return 1.0
    most = float(finite.max())
    limit = min(most, 3 * float(np.quantile(finite, OUTLIER_QUANTILE))) if is_signed else most
    return limit or 1.0


def draw_cells(ax: Axes, matrix: pd.DataFrame, *, is_signed: bool = False) -> Axes:
    """Cells coloured by value with their numbers; a signed scale is centred on 0.

    What is not known stays empty; what is infinite is a cross, that of a diverged median.
    """
    values = matrix.to_numpy(float)
    limit = choose_limit(matrix, is_signed=is_signed)
    ax.imshow(
        np.ma.masked_invalid(values),
        aspect="auto",
        cmap="RdBu" if is_signed else "Blues",
        vmin=-limit if is_signed else 0,
        vmax=limit,
    )
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        is_dark = np.isfinite(value) and abs(value) > _DARK_PART * limit
        said = spell_cell(value, limit=limit if is_signed else 0.0)
        ax.text(
            column, row, said, ha="center", va="center", fontsize=SMALL,
            color="white" if is_dark else "black", gid=f"cell:{row}:{column}",
        )  # fmt: skip
    rows, columns = values.shape
    ax.set_xticks(
        range(columns), [as_plain_text(str(c)) for c in matrix.columns], rotation=30, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    ax.set_yticks(range(rows), [as_plain_text(str(i)) for i in matrix.index])
    ax.tick_params(labelsize=NORMAL, length=0)
    ax.spines[:].set_visible(False)
    return ax


def spell_cell(value: float, *, limit: float = 0.0) -> str:
    """Two digits; whole numbers from ten on, and 0 for what no colour of that `limit` shows."""
    if not np.isfinite(value):
        return "×"
    if abs(value) < _INVISIBLE_PART * limit:
        return "0"
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.2g}"
