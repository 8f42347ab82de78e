"""Deciding an experiment by several looks: making the plan, and taking one look by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.families import make_family
from hpcexp.analysis.frames import MISSING, Results, load
from hpcexp.analysis.groups import make_group_axis
from hpcexp.analysis.sampled import is_sampled
from hpcexp.analysis.statistics.effects import hodges_lehmann, is_within
from hpcexp.analysis.statistics.ranks import mann_whitney
from hpcexp.analysis.statistics.reach import smallest_p
from hpcexp.analysis.statistics.sequential import Plan as Core
from hpcexp.analysis.statistics.sequential import (
    find_levels,
    judge_look,
    plan_looks,
)
from hpcexp.errors import UsageError
from hpcexp.store.deciding import (
    Deciding,
    DecidingPlan,
    Look,
    Pair,
    PairStanding,
    Standing,
)
from hpcexp.store.experiment import Plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.train.metric import Metric

EQUIVALENCE_LEVEL = 0.05
"""Of each of the two one-sided tests, spent over the looks as the level of a difference is."""
LEVEL = 0.05

Sample = NDArray[np.float64]


@dataclass(frozen=True)
class LookOptions:
    """How to look: at most `max_rand_inits` per group, at `num_looks` looks.

    A pair whose chance to be decided falls under `futility` is given up.
    """

    max_rand_inits: int = 64
    num_looks: int = 4
    spending: str = "quadratic"
    futility: float = 0.10


def make_deciding_plan(
    experiment: ExperimentDir, plan: Plan, options: LookOptions, *, command: str, user: str
) -> DecidingPlan:
    """The plan of looks for an experiment; reads no result.

    The first look is at the initialisations that all compared groups have.
    Raises UsageError where there is nothing to compare or to add, or where so few runs could
    never decide anything.
    """
    name = experiment.name
    axis, drawn = make_group_axis(plan.groups), is_sampled(plan)
    family = make_family(plan.comparison, plan.groups, axis, is_sampled=drawn)
    if drawn and not family.pairs:
        raise UsageError(
            f"{name}: its groups are samples, which are not compared in pairs; hpcexp extend "
            "--samples adds more, and --rand-inits with --only trains the best anew"
        )
    if not family.pairs:
        raise UsageError(f"{name}: has one group, and nothing to compare it with")
    counts = {group: len(runs) for group, runs in plan.list_members().items()}
    compared = dict.fromkeys(group for pair in family.pairs for group in pair)
    fewest = min(compared, key=lambda group: counts[group])
    first, most = counts[fewest], options.max_rand_inits
    if first < 2:
        raise UsageError(
            f"{name}: {fewest} has {first} initialisation; looks begin with 2 per group: "
            "hpcexp extend --rand-inits 4 adds some"
        )
    if most <= first:
        raise UsageError(
            f"{name}: every group has {first} initialisations or more already: --max-rand-inits is "
            f"their number in all, and must be larger than {first}"
        )
    made = DecidingPlan(
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        command=command,
        user=user,
        metric=Metric(**plan.primary_metric).name,
        family=family.words,
        pairs=family.pairs,
        looks=plan_looks(first, most, num_looks=options.num_looks),
        alpha=LEVEL,
        spending=options.spending,
        futility=options.futility,
        margin=plan.comparison.get("margin"),
    )
    _require_power(name, made)
    return made


def _require_power(name: str, plan: DecidingPlan) -> None:
    """Refuse a plan whose last look could find nothing, however clear it was."""
    level = list_levels(plan)[-1]
    most = plan.looks[-1]
    if smallest_p(most, most) <= level:
        return
    needed = next(n for n in range(most, 100) if smallest_p(n, n) <= level)
    raise UsageError(
        f"{name}: with {most} initialisations per group no difference can ever be shown among "
        f"{plan.family} (the smallest p is {smallest_p(most, most):.2g}, the last look's level "
        f"{level:.2g}): --max-rand-inits {needed} at least"
    )


def list_levels(plan: DecidingPlan) -> tuple[float, ...]:
    """The p that the first pair to be decided must have at each look."""
    return find_levels(_make_core(plan), alpha=plan.alpha / len(plan.pairs))


def take_look(experiment: ExperimentDir, deciding: Deciding) -> Look | tuple[str, ...]:
    """Take the look that is due; all its runs have ended, but for those left out.

    Returns the runs that claim to have ended and show no result, if there are any.
    """
    results = load(experiment)
    samples, lacking = collect_samples(
        results,
        deciding.open_groups,
        rand_inits=deciding.next_rand_inits,
        left_out=set(deciding.left_out),
        metric=deciding.plan.metric,
    )
    if lacking:
        return lacking
    number = len(deciding.looks)
    return Look(
        number=number + 1,
        taken=datetime.now().astimezone().isoformat(timespec="seconds"),
        rand_inits=deciding.next_rand_inits,
        pairs=judge_pairs(deciding.plan, number, samples, deciding.standings),
    )


def collect_samples(
    results: Results,
    groups: Sequence[str],
    *,
    rand_inits: int,
    left_out: set[str],
    metric: str,
) -> tuple[dict[str, Sample], tuple[str, ...]]:
    """Final values of the first initialisations of each group, and runs that have none."""
    runs = results.runs[~results.runs["run"].isin(left_out)]
    samples, lacking = {}, []
    for group in groups:
        planned = results.runs[results.runs["group"] == group].sort_values("rand_init")
        chosen = runs[runs["run"].isin(planned["run"].head(rand_inits))]
        values = chosen[f"final.{metric}"].to_numpy(np.float64)
        is_missing = (chosen["state"] == MISSING).to_numpy() | np.isnan(values)
        lacking += chosen["run"][is_missing].tolist()
        samples[group] = values[~is_missing]
    return samples, tuple(lacking)


def judge_pairs(
    plan: DecidingPlan,
    look: int,
    samples: Mapping[str, Sample],
    before: Mapping[Pair, PairStanding],
) -> tuple[PairStanding, ...]:
    """What look number `look`, from 0, says of the pairs that are open; numbers only.

    `samples` are final values, (runs,), of the groups of open pairs; `before` are earlier
    standings. A difference comes first, then equivalence, then giving up.
    """
    core = _make_core(plan)
    open_pairs = [
        pair for pair in plan.pairs if pair not in before or before[pair].standing == Standing.OPEN
    ]
    p_values = {pair: _compute_p(samples[pair[0]], samples[pair[1]]) for pair in open_pairs}
    rejected = [pair for pair in before if before[pair].standing == Standing.DIFFERENT]
    decisions = judge_look(
        core, look=look, p_values=p_values, rejected=rejected, num_pairs=len(plan.pairs)
    )
    found = []
    for pair, decision in decisions.items():
        a, b = samples[pair[0]], samples[pair[1]]
        standing = Standing.UNDECIDED if look == len(plan.looks) - 1 else Standing.OPEN
        if decision.is_rejected:
            standing = Standing.DIFFERENT
        elif _are_equivalent(a, b, plan, core, look):
            standing = Standing.EQUIVALENT
        elif decision.is_futile and _is_ripe(a, b, plan):
            standing = Standing.FUTILE
        found.append(
            PairStanding(
                first=pair[0],
                second=pair[1],
                standing=standing,
                look=look + 1,
                num_runs=(len(a), len(b)),
                p=p_values[pair],
                level=decision.level,
                conditional_power=decision.conditional_power,
            )
        )
    return tuple(found)


def _compute_p(a: Sample, b: Sample) -> float:
    return mann_whitney(a, b).p if len(a) and len(b) else 1.0


def _are_equivalent(a: Sample, b: Sample, plan: DecidingPlan, core: Core, look: int) -> bool:
    """Two one-sided tests, each of which spends its level over the looks."""
    if plan.margin is None or not len(a) or not len(b):
        return False
    level = find_levels(core, alpha=2 * EQUIVALENCE_LEVEL)[look]
    if not 0 < level < 1 or math.isnan(level):
        return False
    return is_within(hodges_lehmann(a, b, confidence=1 - level).interval, plan.margin)


def _is_ripe(a: Sample, b: Sample, plan: DecidingPlan) -> bool:
    """Whether a pair may be given up: not by so few runs that they could never show a difference.

    Two runs against two that interleave look hopeless, and do so at any true difference.
    """
    could_differ = smallest_p(len(a), len(b)) <= plan.alpha
    return could_differ and not _may_become_equivalent(a, b, plan)


def _may_become_equivalent(a: Sample, b: Sample, plan: DecidingPlan) -> bool:
    """Whether more runs may show that the difference is smaller than the margin."""
    if plan.margin is None or not len(a) or not len(b):
        return False
    return abs(hodges_lehmann(a, b).value) < plan.margin


def _make_core(plan: DecidingPlan) -> Core:
    return Core(plan.looks, alpha=plan.alpha, spending=plan.spending, futility=plan.futility)
