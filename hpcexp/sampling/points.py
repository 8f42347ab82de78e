"""From a space to its samples: distinct combinations of values, numbered from 0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hpcexp.sampling.conditions import Conditions, keep_active
from hpcexp.sampling.parse import parse_space
from hpcexp.sampling.sequences import iterate_points
from hpcexp.sampling.space import Space

_PATIENCE = 200  # points in a row that were there before: no new ones are to be expected
_NAME = re.compile(r"(?:^|,)sample_(\d{3,})$")


@dataclass(frozen=True)
class Points:
    """Samples, from number `first` on, with the values of all axes, and what these depend on."""

    values: tuple[Mapping[str, Any], ...] = ()
    conditions: Conditions = field(default_factory=dict, hash=False)
    first: int = 0

    def complete(self, others: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and values of each sample beside `others`, without axes that are not there then."""
        for number, values in enumerate(self.values, start=self.first):
            yield name_sample(number), keep_active({**others, **values}, self.conditions)


def name_sample(number: int) -> str:
    """`sample_007`: it never changes, however many samples are added."""
    return f"sample_{number:03d}"


def find_sample_number(group: str) -> int | None:
    """The number in a group's name such as `batch_size=16,sample_007`; None where there is none."""
    found = _NAME.search(group)
    return None if found is None else int(found[1])


def draw_points(space: Space, *, count: int | None = None) -> Points:
    """The first `count` distinct samples, or all that are drawn without regard to results.

    Two that would train the same, as axes of few values give, count once: the sequence goes on.
    There are fewer than asked for where there are no more.
    """
    wanted = space.num_drawn if count is None else count
    kept: dict[str, Mapping[str, Any]] = {}
    repeats = 0
    for point in iterate_points(
        [axis.name for axis in space.axes], method=space.method, seed=space.seed, count=wanted
    ):
        if len(kept) == wanted or repeats > _PATIENCE * max(1, len(space.axes)):
            break
        values = {axis.name: axis.take(point[axis.name]) for axis in space.axes}
        key = make_key(keep_active(values, space.conditions))
        repeats = repeats + 1 if key in kept else 0
        kept.setdefault(key, values)
    return Points(tuple(kept.values()), space.conditions)


def draw_described(plain: Mapping[str, Any]) -> Points | None:
    """The samples of a template's `sample`, which has been checked; None where it is empty.

    Drawn once: a template is expanded several times while it is checked and planned.
    """
    return _draw_text(json.dumps(plain)) if plain else None


@lru_cache(maxsize=8)
def _draw_text(text: str) -> Points:
    space, flaws = parse_space(json.loads(text))
    if space is None:
        raise ValueError(f"sample: {flaws[0].message}")
    return draw_points(space)


def make_key(values: Mapping[str, Any]) -> str:
    """Equal for equal combinations of values."""
    return json.dumps(values, sort_keys=True, default=str)
