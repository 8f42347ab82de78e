"""Sequences of numbers between 0 and 1 for each axis, drawn by hashing: seed, axis and place.

A hash needs no state: point k does not depend on how many points are drawn, nor on the order
of the axes, nor on the version of a random number generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from hpcexp.sampling.sobol import iterate_sobol

_BITS = 53  # of a float's fraction


def iterate_points(
    names: Sequence[str], *, method: str, seed: int, count: int
) -> Iterator[dict[str, float]]:
    """Points in the unit cube, axis -> coordinate, without end but for a Latin hypercube.

    `count` is the number of points of a Latin hypercube; other methods go on for ever. The first
    points of an adaptive search are those of `sobol`.
    """
    ordered = sorted(names)
    if method == "random":
        columns = [_iterate_random(seed, name) for name in ordered]
    elif method == "latin_hypercube":
        columns = [_iterate_strata(seed, name, count) for name in ordered]
    else:
        columns = [_iterate_sobol(seed, name, place) for place, name in enumerate(ordered)]
    for coordinates in zip(*columns, strict=True):
        point = dict(zip(ordered, coordinates, strict=True))
        yield {name: point[name] for name in names}


def _iterate_random(seed: int, name: str) -> Iterator[float]:
    index = 0
    while True:
        yield _draw_unit(seed, "random", name, index)
        index += 1


def _iterate_strata(seed: int, name: str, count: int) -> Iterator[float]:
    """One point in each of `count` equal parts, in random order.

    Source: McKay, Beckman & Conover 1979.
    """
    drawn = [_draw_unit(seed, "order", name, count, k) for k in range(count)]
    order = sorted(range(count), key=drawn.__getitem__)
    for index, stratum in enumerate(order):
        yield (stratum + _draw_unit(seed, "within", name, count, index)) / count


def _iterate_sobol(seed: int, name: str, dimension: int) -> Iterator[float]:
    drawn = 0

    def draw(num_bits: int) -> int:
        nonlocal drawn
        drawn += 1
        return _draw_bits(num_bits, seed, "sobol", name, drawn)

    return iterate_sobol(dimension, draw)


def _draw_unit(*key: str | int) -> float:
    """Between 0 and 1, both excluded."""
    return (_draw_bits(_BITS - 1, *key) + 0.5) * 2.0 ** (1 - _BITS)


def _draw_bits(num_bits: int, *key: str | int) -> int:
    text = "\0".join(map(str, key)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - num_bits)
