"""How often trends, interactions and sampled axes are claimed, by permutation tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.draws import Draw, Sample, draw_normal, draw_tied, percent, show
from hpcexp.analysis.sampled.table import SampleTable
from hpcexp.analysis.sampled.trends import find_trends
from hpcexp.analysis.statistics.several import compare_two_axes, spearman_trend
from hpcexp.analysis.statistics.verdicts import Verdict
from hpcexp.sampling import Space, draw_points, name_sample, parse_space

NUM_SAMPLES = (8, 16, 32, 64)
_AXES: dict[str, dict[str, list[Any]]] = {
    "lr": {"log_uniform": [1e-5, 1e-2]},
    "rnn_width": {"integer": [8, 64]},
    "optimizer": {"choice": ["adam", "sgd"]},
}


def show_trends(num: int, sizes: Sequence[int]) -> None:
    """Along the axes of a grid. Two axes: both have large effects that add up."""
    trend, interaction = [], []
    for n in sizes:
        random = np.random.default_rng(n)
        first, second = np.repeat([0, 0, 1, 1], n), np.repeat([0, 1, 0, 1], n)
        found = np.zeros(2)
        for _ in range(num):
            noise = random.normal(size=4 * n)
            p = spearman_trend(np.repeat([1, 2, 3, 4], n), noise, generator=random).p
            sums = 5 * first + 5 * second + noise
            both = compare_two_axes(first.tolist(), second.tolist(), sums, generator=random)
            found += [p <= 0.05, both.p_interaction <= 0.05]
        trend.append(percent(found[0] / num))
        interaction.append(percent(found[1] / num))
    rows = [["Spearman trend", *trend], ["interaction beside two large effects", *interaction]]
    title = (
        f"False positives at 5 %: four groups of n normal runs on one or two axes ({num:,} draws)"
    )
    show(title, rows, sizes)


def show_sampled(num: int, sizes: Sequence[int]) -> None:
    """Along three sampled axes, of which one may have an effect as large as the noise."""
    rows = []
    for name, draw in (("normal", draw_normal), ("tied, some diverged", draw_tied)):
        claimed = [claim_axes(num, n, draw=draw) for n in sizes]
        any_axis = [percent(one.any(axis=1).mean()) for one in claimed]
        rows.append([f"nothing matters, {name}: any axis is claimed", *any_axis])
    for name, effect in (("in a line", lay_line), ("best in the middle", lay_bend)):
        claimed = [claim_axes(num, n, draw=draw_normal, effect=effect) for n in sizes]
        others = [percent(one[:, 1:].any(axis=1).mean()) for one in claimed]
        rows.append([f"lr matters, {name}: another axis is claimed", *others])
        rows.append(
            [f"lr matters, {name}: lr is claimed", *(percent(c[:, 0].mean()) for c in claimed)]
        )
    title = f"Three sampled axes, n samples of one run each, Holm over the axes ({num:,} draws)"
    show(title, rows, sizes)


def lay_line(place: Sample) -> Sample:
    """Of variance 1 where places are spread evenly from 0 to 1."""
    return math.sqrt(12) * (place - 0.5)


def lay_bend(place: Sample) -> Sample:
    """Of variance 1, lowest in the middle."""
    return math.sqrt(180) * ((place - 0.5) ** 2 - 1 / 12)


def claim_axes(
    num: int, n: int, *, draw: Draw, effect: Callable[[Sample], Sample] | None = None
) -> NDArray[np.bool_]:
    """Whether each axis was supported, (num, axes); the effect is that of the first axis."""
    random = np.random.default_rng(n)
    claimed = np.zeros((num, len(_AXES)), bool)
    for experiment in range(num):
        values = draw(random, n)
        space, _ = parse_space({"count": n, "seed": experiment, "axes": _AXES})
        assert space is not None
        points = draw_points(space).values
        if effect is not None:
            low, high = _AXES["lr"]["log_uniform"]
            lr = np.array([point["lr"] for point in points], np.float64)
            values = values + effect(np.log(lr / low) / math.log(high / low))
        trends = find_trends(make_table(space, points, values), generator=random)
        claimed[experiment] = [trend.verdict is Verdict.SUPPORTED for trend in trends]
    return claimed


def make_table(space: Space, points: Sequence[Mapping[str, Any]], outcomes: Sample) -> SampleTable:
    n = len(points)
    return SampleTable(
        groups=tuple(name_sample(number) for number in range(n)),
        numbers=np.arange(n),
        values=tuple(points),
        first=outcomes,
        fresh=np.full(n, math.nan),
        num_first=np.ones(n, np.int64),
        num_fresh=np.zeros(n, np.int64),
        axes=tuple(_AXES),
        space=space,
        num_planned=n,
    )
