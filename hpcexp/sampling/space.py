"""What is sampled: axes with their distributions, how many samples, by which method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

METHODS = ("sobol", "random", "latin_hypercube", "tpe")
ADAPTIVE = frozenset({"tpe"})
"""Methods whose samples depend on the results of earlier ones."""

DISTRIBUTIONS: Mapping[str, str] = {
    "uniform": "[0.1, 0.9]",
    "log_uniform": "[1e-5, 1e-2]",
    "integer": "[8, 64]",
    "choice": "[16, 32, 64]",
    "normal": "[0, 1]",
}
"""Name -> an example of its arguments."""

_RESOLUTION = 1000  # steps along an axis: what is printed is what is trained


@dataclass(frozen=True)
class Axis:
    """One hyperparameter and its distribution.

    `arguments` are the ends of a range (both included), the mean and the standard deviation of
    `normal`, or the values of a `choice`. `only_if`: name -> values with which the axis is there.
    """

    name: str
    distribution: str
    arguments: tuple[Any, ...]
    only_if: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)

    @property
    def is_log(self) -> bool:
        """Whether ratios count along it, not differences."""
        return self.distribution == "log_uniform"

    def take(self, u: float) -> Any:
        """The value at `u`, between 0 and 1, both excluded: the inverse of the distribution.

        Numbers are rounded to a thousandth of the range, or of the standard deviation.
        """
        if self.distribution == "choice":
            return self.arguments[min(int(u * len(self.arguments)), len(self.arguments) - 1)]
        first, second = self.arguments
        if self.distribution == "integer":
            return min(int(first + u * (second - first + 1)), second)
        if self.distribution == "normal":
            value = NormalDist(first, second).inv_cdf(u)
            return _round(value, second / _RESOLUTION)
        if self.is_log:
            decades = math.log(second / first)
            value = first * math.exp(u * decades)
            return _clip(_round(value, value * decades / _RESOLUTION), first, second)
        value = first + u * (second - first)
        return _clip(_round(value, (second - first) / _RESOLUTION), first, second)

    def find_place(self, value: Any) -> float:
        """Where along the axis a value lies, from 0 to 1; of a normal its probability."""
        if self.distribution == "choice":
            return self.arguments.index(value) / max(1, len(self.arguments) - 1)
        first, second = self.arguments
        if self.distribution == "integer":  # the middle of the part that gives this number
            return float((value - first + 0.5) / (second - first + 1))
        if self.distribution == "normal":
            return NormalDist(first, second).cdf(value)
        if self.is_log:
            return math.log(value / first) / math.log(second / first)
        return float((value - first) / (second - first))


@dataclass(frozen=True)
class Space:
    """All of a template's `sample`.

    `count` is the number of samples in all. An adaptive method draws its first `start` samples
    without regard to results, then `at_once` at a time.
    """

    axes: tuple[Axis, ...]
    count: int
    method: str = "sobol"
    seed: int = 0
    start: int = 0
    at_once: int = 0

    @property
    def is_adaptive(self) -> bool:
        """Whether later samples depend on the results of earlier ones."""
        return self.method in ADAPTIVE

    @property
    def num_drawn(self) -> int:
        """Samples that are drawn without regard to results: all, or the first of a search."""
        return min(self.start, self.count) if self.is_adaptive else self.count

    @property
    def conditions(self) -> dict[str, Mapping[str, tuple[Any, ...]]]:
        """Axis -> what it depends on, of those that depend on anything."""
        return {axis.name: axis.only_if for axis in self.axes if axis.only_if}

    def get_axis(self, name: str) -> Axis:
        """The axis of that name."""
        return next(axis for axis in self.axes if axis.name == name)


def _round(value: float, step: float) -> float:
    """To the power of ten that is at most the step."""
    return round(value, -math.floor(math.log10(step))) + 0.0  # never -0.0


def _clip(value: float, low: float, high: float) -> float:
    """Rounding may pass an end of the range."""
    return float(min(max(value, low), high))
