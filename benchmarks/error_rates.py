"""How often the statistics are right, by simulation: coverage, false positives, several looks.

    python benchmarks/error_rates.py              # the tables of docs/results/statistics.md
    python benchmarks/error_rates.py --smoke      # seconds: does it still run?

Runs are drawn from distributions whose truth is known. An interval should hold the truth as
often as it says; a test should find a difference that is not there at most as often as its
level; a plan of several looks likewise, for the whole family of pairs.

Not called statistics.py: beside a script of that name Python's own `statistics` is not found.
"""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness.draws import (
    SHAPES,
    SIZES,
    WITH_TIES,
    Draw,
    Sample,
    draw_normal,
    draw_tied,
    percent,
    show,
)
from benchmarks.harness.look_rates import show_looks
from benchmarks.harness.trend_rates import NUM_SAMPLES, show_sampled, show_trends
from hpcexp.analysis.statistics.effects import hodges_lehmann, probability_of_improvement
from hpcexp.analysis.statistics.intervals import mean_interval, median_interval
from hpcexp.analysis.statistics.modality import find_modes
from hpcexp.analysis.statistics.multiplicity import adjust_holm
from hpcexp.analysis.statistics.paired import sign_test, signed_rank
from hpcexp.analysis.statistics.proportions import boschloo_exact, fisher_exact, wilson_interval
from hpcexp.analysis.statistics.ranks import mann_whitney
from hpcexp.analysis.statistics.several import kruskal_wallis

MEDIANS = {"lognormal": 1.0, "bimodal": None}
MEANS = {"lognormal": math.exp(0.5), "bimodal": 0.6 * 0.15 + 0.4 * 0.55}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few draws, to see that it runs")
    parser.add_argument("--only-looks", action="store_true", help="the last tables only")
    parser.add_argument("--draws", type=int, default=4000, help="experiments drawn for each cell")
    arguments = parser.parse_args()
    num = 12 if arguments.smoke else arguments.draws
    sizes = SIZES[:2] if arguments.smoke else SIZES
    print(
        f"`python benchmarks/error_rates.py`: {num:,} experiments for each cell. {describe_place()}"
    )
    if not arguments.only_looks:
        show_one_look(num, sizes)
    show_looks(max(num // 2, 6))


def show_one_look(num: int, sizes: Sequence[int]) -> None:
    show_median(num, sizes)
    show_mean(num, sizes)
    show_wilson(sizes)
    show_effects(num, sizes)
    show_tests(num, sizes)
    show_families(num, sizes)
    show_trends(max(num // 4, 4), sizes)
    show_sampled(max(num // 4, 4), NUM_SAMPLES[: len(sizes)])
    show_modes(num, sizes)


# ----------------------------------------------------------------------- intervals


def show_median(num: int, sizes: Sequence[int]) -> None:
    rows = []
    for shape, draw in SHAPES.items():
        truth = find_median(shape, draw)
        cells = []
        for n in sizes:
            random = np.random.default_rng(n)
            held = [holds(median_interval(draw(random, n)), truth) for _ in range(num)]
            cells.append(percent(np.mean(held)))
        rows.append([shape, *cells])
    stated = [median_interval(np.arange(n)) for n in sizes]
    rows.append(["**stated**", *(percent(i.level) for i in stated if i is not None)])
    show("Median, order statistics: how often the interval holds the truth", rows, sizes)


def show_mean(num: int, sizes: Sequence[int]) -> None:
    rows = []
    for shape, draw in SHAPES.items():
        truth = MEANS.get(shape, 0.0)
        cells = []
        for n in sizes:
            random = np.random.default_rng(n)
            samples = [draw(random, n) for _ in range(num)]
            cells.append(percent(np.mean([holds(mean_interval(s), truth) for s in samples])))
        rows.append([shape, *cells])
    for shape, draw in SHAPES.items():
        if shape in ("normal", "lognormal"):
            truth, cells = MEANS.get(shape, 0.0), []
            for n in sizes:
                random = np.random.default_rng(n)
                held = [bootstrap_holds(draw(random, n), truth, random) for _ in range(num // 4)]
                cells.append(percent(np.mean(held)))
            rows.append([f"{shape}, percentile bootstrap (not offered)", *cells])
    show("Mean, Student's t, 95 % stated", rows, sizes)


def bootstrap_holds(sample: Sample, truth: float, random: np.random.Generator) -> bool:
    means = random.choice(sample, size=(1000, len(sample))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return bool(low <= truth <= high)


def show_wilson(sizes: Sequence[int]) -> None:
    """Exact, by summing over the binomial distribution; no draws."""
    rates = np.linspace(0.01, 0.99, 99)
    average, least = [], []
    for n in sizes:
        intervals = [wilson_interval(k, n) for k in range(n + 1)]
        coverage = [
            sum(
                math.comb(n, k) * p**k * (1 - p) ** (n - k)
                for k, (low, high) in enumerate(intervals)
                if low <= p <= high
            )
            for p in rates
        ]
        average.append(percent(np.mean(coverage)))
        least.append(percent(min(coverage)))
    rows = [["average over rates from 0.01 to 0.99", *average], ["at the worst rate", *least]]
    show("Success rate, Wilson, 95 % stated on average (exact sums)", rows, sizes)


def show_effects(num: int, sizes: Sequence[int]) -> None:
    rows = []
    for shift in (0.0, 1.0):
        truth = 0.5 * math.erfc(-shift / 2)
        chance, difference = [], []
        for n in sizes:
            random = np.random.default_rng(n)
            held: list[bool] = []
            shifts: list[bool] = []
            for _ in range(num):
                a, b = random.normal(size=n), random.normal(shift, size=n)
                held.append(holds(probability_of_improvement(a, b).interval, truth))
                shifts.append(holds(hodges_lehmann(a, b).interval, shift))
            chance.append(percent(np.mean(held)))
            difference.append(percent(np.mean(shifts)))
        rows.append([f"probability of improvement (95 %), shift {shift:g}", *chance])
        rows.append([f"Hodges-Lehmann (at least 90 %), shift {shift:g}", *difference])
    show("Effects of two normal groups of n runs each", rows, sizes)


# ---------------------------------------------------------------------------- tests


def show_tests(num: int, sizes: Sequence[int]) -> None:
    rows = []
    for shape, draw in WITH_TIES.items():
        rows.append(
            [f"Mann-Whitney, {shape}", *count(num, sizes, draw, lambda a, b: mann_whitney(a, b).p)]
        )
    for name, draw in (("normal", draw_normal), ("tied, some diverged", draw_tied)):
        rows.append(
            [f"signed rank, {name}", *count(num, sizes, draw, lambda a, b: signed_rank(a, b).p)]
        )
    rows.append(["signs, normal", *count(num, sizes, draw_normal, lambda a, b: sign_test(a, b).p)])
    for rate in (0.1, 0.5):
        for name, test in (("Fisher", fisher_exact), ("Boschloo", boschloo_exact)):
            cells = count(num, sizes, make_binomial(rate), partial(compare_rates, test=test))
            rows.append([f"{name}, success rate {rate:g}", *cells])
    show("False positives at 5 %: two groups of n runs that do not differ", rows, sizes)


def make_binomial(rate: float) -> Draw:
    return lambda random, n: (random.uniform(size=n) >= rate).astype(float)


def compare_rates(
    a: Sample, b: Sample, *, test: Callable[[tuple[int, int], tuple[int, int]], float]
) -> float:
    return test((int((a < 0.5).sum()), int((b < 0.5).sum())), (len(a), len(b)))


def count(
    num: int, sizes: Sequence[int], draw: Draw, test: Callable[[Sample, Sample], float]
) -> list[str]:
    cells = []
    for n in sizes:
        random = np.random.default_rng(n)
        found = [test(draw(random, n), draw(random, n)) <= 0.05 for _ in range(num)]
        cells.append(percent(np.mean(found)))
    return cells


def show_families(num: int, sizes: Sequence[int]) -> None:
    """Four groups that do not differ: is anything claimed of any pair?"""
    rows = []
    for shape in ("normal", "bimodal", "tied, some diverged"):
        holm: list[str] = []
        naive: list[str] = []
        kruskal: list[str] = []
        for n in sizes:
            random = np.random.default_rng(n)
            errors = np.zeros(3)
            for _ in range(num // 2):
                groups = [WITH_TIES[shape](random, n) for _ in range(4)]
                p = [mann_whitney(a, b).p for a, b in itertools.combinations(groups, 2)]
                errors += [
                    min(a.p for a in adjust_holm(p)) <= 0.05,
                    min(p) <= 0.05,
                    kruskal_wallis(groups) <= 0.05,
                ]
            for cells, error in zip((holm, naive, kruskal), errors, strict=True):
                cells.append(percent(error / (num // 2)))
        rows += [[f"Holm over 6 pairs, {shape}", *holm], [f"unadjusted, {shape}", *naive],
                 [f"Kruskal-Wallis, {shape}", *kruskal]]  # fmt: skip
    show("False positives at 5 %: four groups that do not differ, a claim of any pair", rows, sizes)


def show_modes(num: int, sizes: Sequence[int]) -> None:
    rows = [
        [
            shape,
            *(
                percent(np.mean([len(find_modes(draw(r, n))) > 1 for _ in range(num)]))
                for n in sizes
                for r in [np.random.default_rng(n)]
            ),
        ]
        for shape, draw in SHAPES.items()
    ]
    show("How often a group is called bimodal (truly so in the last row only)", rows, sizes)


# ------------------------------------------------------------------------- printing


def find_median(shape: str, draw: Draw) -> float:
    known = MEDIANS.get(shape, 0.0)
    if known is not None:
        return known
    return float(np.median(draw(np.random.default_rng(0), 4_000_001)))


def holds(interval: object, truth: float) -> bool:
    """Whether an interval was given and holds the truth."""
    low, high = getattr(interval, "low", math.inf), getattr(interval, "high", -math.inf)
    return bool(low <= truth <= high)


def describe_place() -> str:
    """Machine, Python, commit and date of the numbers."""
    commit = "unknown commit"
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
        commit = f"commit {done.stdout.strip()}"
    except (OSError, subprocess.CalledProcessError):
        pass
    return (
        f"{platform.machine()} {platform.system()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, {commit}, {date.today().isoformat()}."
    )


if __name__ == "__main__":
    main()
