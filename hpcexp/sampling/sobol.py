"""Scrambled Sobol points without numpy: a dry run on a login node need not wait for SciPy.

Direction numbers: Joe & Kuo 2008, "Constructing Sobol sequences with better two-dimensional
projections" (new-joe-kuo-6.21201, the first 32 dimensions). Scrambling: Matousek 1998, "On the
L2-discrepancy for anchored boxes": a random lower triangular matrix and a digital shift, which
keep the first 2^m points a net and make each point uniform by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

BITS = 32
# Of dimensions 2 and on: the primitive polynomial as bits, and the first direction numbers.
_TABLE: tuple[tuple[int, tuple[int, ...]], ...] = (
    (3, (1,)), (7, (1, 3)), (11, (1, 3, 1)), (13, (1, 1, 1)), (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)), (37, (1, 1, 5, 5, 17)), (41, (1, 1, 5, 5, 5)), (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)), (59, (1, 1, 1, 3, 11)), (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)), (91, (1, 1, 1, 15, 21, 21)), (97, (1, 3, 1, 13, 27, 49)),
    (103, (1, 1, 1, 15, 7, 5)), (109, (1, 3, 1, 15, 13, 25)), (115, (1, 1, 5, 5, 19, 61)),
    (131, (1, 3, 7, 11, 23, 15, 103)), (137, (1, 3, 7, 13, 13, 15, 69)),
    (143, (1, 1, 3, 13, 7, 35, 63)), (145, (1, 3, 5, 9, 1, 25, 53)),
    (157, (1, 3, 1, 13, 9, 35, 107)), (167, (1, 3, 1, 5, 27, 61, 31)),
    (171, (1, 1, 5, 11, 19, 41, 61)), (185, (1, 3, 5, 3, 3, 13, 69)),
    (191, (1, 1, 7, 13, 1, 19, 1)), (193, (1, 3, 7, 5, 13, 19, 59)),
    (203, (1, 1, 3, 9, 25, 29, 41)), (211, (1, 3, 5, 13, 23, 1, 55)),
    (213, (1, 3, 7, 3, 13, 59, 17)),
)  # fmt: skip
MAX_DIMENSIONS = 1 + len(_TABLE)

DrawBits = Callable[[int], int]
"""Number -> that many random bits, independent of all that were drawn before."""


def iterate_sobol(dimension: int, draw: DrawBits) -> Iterator[float]:
    """Coordinates of the points 0, 1, ... in a dimension (from 0), scrambled by random bits.

    Each is between 0 and 1, both excluded. Raises ValueError past the last known dimension.
    """
    if not 0 <= dimension < MAX_DIMENSIONS:
        raise ValueError(f"dimension {dimension}: there are {MAX_DIMENSIONS}")
    columns = _scramble(_make_columns(dimension), draw)
    point = draw(BITS)  # the digital shift
    index = 0
    while True:
        yield (point + 0.5) / 2**BITS
        # From point k to k + 1 exactly the bits change that a carry runs through.
        for place in range((index ^ (index + 1)).bit_length()):
            point ^= columns[place]
        index += 1


@cache
def _make_columns(dimension: int) -> tuple[int, ...]:
    """The direction numbers as fractions of 2^BITS, the first as the highest bit."""
    if dimension == 0:
        return tuple(1 << (BITS - 1 - k) for k in range(BITS))
    polynomial, initial = _TABLE[dimension - 1]
    degree = polynomial.bit_length() - 1
    numbers = list(initial)
    for k in range(degree, BITS):
        number = numbers[k - degree] ^ (numbers[k - degree] << degree)
        for i in range(1, degree):
            if polynomial >> (degree - i) & 1:
                number ^= numbers[k - i] << i
        numbers.append(number)
    return tuple(number << (BITS - 1 - k) for k, number in enumerate(numbers))


def _scramble(columns: tuple[int, ...], draw: DrawBits) -> list[int]:
    """Each column times a random lower triangular matrix with ones on its diagonal, modulo 2."""
    rows = []
    for place in range(BITS):  # output bit `place`, counted from the highest
        above = draw(place) if place else 0
        rows.append((1 << (BITS - 1 - place)) | above << (BITS - place))
    return [
        sum(((row & column).bit_count() & 1) << (BITS - 1 - i) for i, row in enumerate(rows))
        for column in columns
    ]
