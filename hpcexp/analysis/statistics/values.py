"""What all of the statistics ask of their input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


def as_values(values: ArrayLike) -> Values:
    """Outcomes of runs, (runs,), where `inf` is a diverged run.

    Raises ValueError for NaN, -inf and more than one dimension.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{array.ndim} dimensions; give one value for each run")
    if np.isnan(array).any() or (array == -np.inf).any():
        raise ValueError("NaN or -inf among the values: leave out runs that have no outcome")
    return array


def subtract(one: ArrayLike, other: ArrayLike) -> Values:
    """`one - other`, element by element; two diverged runs do not differ."""
    first, second = np.broadcast_arrays(np.asarray(one, float), np.asarray(other, float))
    difference = np.zeros(first.shape)
    np.subtract(first, second, out=difference, where=~(np.isinf(first) & np.isinf(second)))
    return difference


def double_midranks(values: ArrayLike) -> NDArray[np.int64]:
    """Twice the rank of each value among all, from 2; tied values share the mean of theirs.

    Doubled, so that midranks are whole numbers and sums of them can be compared exactly.
    """
    _, places, counts = np.unique(
        np.asarray(values, np.float64), return_inverse=True, return_counts=True
    )
    doubled = 2 * np.cumsum(counts) - counts + 1
    return np.asarray(doubled[places], np.int64)
