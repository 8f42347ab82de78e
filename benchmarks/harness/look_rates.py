"""How often several looks claim what is not there, and find what is."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.draws import WITH_TIES, Sample, percent
from hpcexp.analysis.looks import judge_pairs
from hpcexp.analysis.statistics.ranks import mann_whitney
from hpcexp.store.deciding import Deciding, DecidingPlan, Look, Standing

LOOKS = (8, 16, 32, 64)


def show_looks(num: int) -> None:
    """By the code that `hpcexp extend --until-decided` runs."""
    print(f"\n### Several looks, at {', '.join(map(str, LOOKS))} runs per group: any false claim\n")
    print("| distribution | groups | by the plan | runs per group | p <= 0.05 at any look |")
    print("|---|--:|--:|--:|--:|")
    for name in ("normal", "bimodal", "tied, some diverged"):
        for num_groups in (2, 4):
            random = np.random.default_rng(num_groups)
            plan = make_looks(num_groups)
            errors = np.zeros(3)
            for _ in range(num):
                values = {group: WITH_TIES[name](random, LOOKS[-1]) for group in plan.groups}
                errors += look(values, plan)
            claimed, used, naive = errors / num
            print(f"| {name} | {num_groups} | {percent(claimed)} | {used:.0f} | {percent(naive)} |")
    show_power(num)
    show_equivalence(num)


def make_looks(
    num_groups: int, *, futility: float = 0.10, margin: float | None = None
) -> DecidingPlan:
    names = [f"group_{i}" for i in range(num_groups)]
    pairs = tuple(itertools.combinations(names, 2))
    return DecidingPlan(
        "",
        "",
        "",
        "value",
        f"{len(pairs)} pairs",
        pairs,
        LOOKS,
        0.05,
        "quadratic",
        futility,
        margin,
    )


def look(values: dict[str, Sample], plan: DecidingPlan) -> NDArray[np.float64]:
    """Whether anything was claimed, runs used per group, whether naive looks claim anything."""
    deciding = run_plan(values, plan)
    different = [s for s in deciding.standings.values() if s.standing == Standing.DIFFERENT]
    p_at = [mann_whitney(values[a][:n], values[b][:n]).p for a, b in plan.pairs for n in LOOKS]
    return np.array([bool(different), count_used(deciding), min(p_at) <= 0.05], float)


def run_plan(values: dict[str, Sample], plan: DecidingPlan) -> Deciding:
    deciding = Deciding(plan)
    while not deciding.is_over:
        n, number = deciding.next_rand_inits, len(deciding.looks)
        samples = {group: values[group][:n] for group in deciding.open_groups}
        pairs = judge_pairs(plan, number, samples, deciding.standings)
        looks = (*deciding.looks, Look(number + 1, "", n, pairs))
        deciding = dataclasses.replace(deciding, looks=looks)
    return deciding


def count_used(deciding: Deciding) -> float:
    """Mean number of runs of a group."""
    used: dict[str, int] = {}
    for standing in deciding.standings.values():
        for group, n in zip(standing.pair, standing.num_runs, strict=True):
            used[group] = max(used.get(group, 0), n)
    return float(np.mean(list(used.values())))


def show_power(num: int) -> None:
    print("\n### Two normal groups that differ by a shift: how often it is found\n")
    print(
        "| shift (deviations) | by the plan | runs per group | never giving up | all 64 at once |"
    )
    print("|---|--:|--:|--:|--:|")
    for shift in (0.3, 0.5, 0.7, 1.0, 1.5):
        random = np.random.default_rng(round(10 * shift))
        found = np.zeros(4)
        for _ in range(num):
            values = draw_shifted(random, shift)
            decided = run_plan(values, make_looks(2))
            stubborn = run_plan(values, make_looks(2, futility=0.0))
            whole = mann_whitney(values["group_0"], values["group_1"]).p <= 0.05
            found += [is_different(decided), count_used(decided), is_different(stubborn), whole]
        used = found[1] / num
        by_plan, never, at_once = (percent(share) for share in found[[0, 2, 3]] / num)
        print(f"| {shift:g} | {by_plan} | {used:.0f} | {never} | {at_once} |")


def draw_shifted(random: np.random.Generator, shift: float) -> dict[str, Sample]:
    """Two normal groups of as many runs as there may be, (runs,) each."""
    return {
        "group_0": random.normal(size=LOOKS[-1]),
        "group_1": random.normal(shift, size=LOOKS[-1]),
    }


def show_equivalence(num: int) -> None:
    print("\n### Two normal groups, margin 0.5 deviations: how often they are called equivalent\n")
    print("| shift (deviations) | equivalent | different |")
    print("|---|--:|--:|")
    for shift in (0.0, 0.25, 0.5):
        random = np.random.default_rng(round(100 * shift))
        found = np.zeros(2)
        for _ in range(num):
            values = draw_shifted(random, shift)
            (end,) = run_plan(values, make_looks(2, margin=0.5)).standings.values()
            found += [end.standing == Standing.EQUIVALENT, end.standing == Standing.DIFFERENT]
        print(f"| {shift:g} | {' | '.join(percent(share) for share in found / num)} |")


def is_different(deciding: Deciding) -> bool:
    return any(s.standing == Standing.DIFFERENT for s in deciding.standings.values())
