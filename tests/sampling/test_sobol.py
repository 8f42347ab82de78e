from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
from scipy.stats import qmc

from hpcexp.sampling.sobol import BITS, MAX_DIMENSIONS, iterate_sobol


def take(dimension: int, count: int, *, seed: int | None) -> list[float]:
    draw = (lambda _: 0) if seed is None else random.Random(seed).getrandbits
    return list(islice(iterate_sobol(dimension, draw), count))


def test_points_are_those_of_scipy_before_they_are_scrambled() -> None:
    ours = np.array([take(d, 256, seed=None) for d in range(MAX_DIMENSIONS)]).T
    theirs = qmc.Sobol(MAX_DIMENSIONS, scramble=False, bits=BITS).random(256)
    # SciPy goes through them in the order of the Gray code.
    gray = [k ^ (k >> 1) for k in range(256)]
    np.testing.assert_allclose(ours[gray], theirs, atol=2.0**-BITS)


@pytest.mark.parametrize("dimension", [0, 1, 7, MAX_DIMENSIONS - 1])
def test_each_dimension_has_one_of_the_first_64_points_in_each_64th_when_scrambled(
    dimension: int,
) -> None:
    points = take(dimension, 64, seed=3)
    assert sorted(int(64 * u) for u in points) == list(range(64))


def test_two_dimensions_fill_every_cell_of_a_net() -> None:
    """(0, m, 2)-net in base 2: of 16 points one in each 4 x 4, 8 x 2 and 2 x 8 cell."""
    x, y = take(0, 16, seed=1), take(1, 16, seed=2)
    for columns in (2, 4, 8):
        rows = 16 // columns
        cells = {(int(columns * a), int(rows * b)) for a, b in zip(x, y, strict=True)}
        assert len(cells) == 16


def test_scrambling_differs_by_its_bits_and_never_reaches_an_end() -> None:
    assert take(2, 32, seed=0) == take(2, 32, seed=0) != take(2, 32, seed=1)
    assert all(0 < u < 1 for u in take(4, 512, seed=0))


def test_a_dimension_that_has_no_direction_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=f"there are {MAX_DIMENSIONS}"):
        next(iterate_sobol(MAX_DIMENSIONS, lambda _: 0))
