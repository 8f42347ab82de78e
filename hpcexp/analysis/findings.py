"""What an experiment's runs say: groups, comparisons, verdicts, and what stands in their way."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcexp.analysis.design import Caveat, find_caveats
from hpcexp.analysis.families import Family, list_varied, make_family
from hpcexp.analysis.foretelling.stopped import StoppingRecord, assess_stopping
from hpcexp.analysis.frames import MISSING, Results
from hpcexp.analysis.groups import list_hyperparameters
from hpcexp.analysis.sampled import SampledFindings, find_out_sampled, is_sampled
from hpcexp.analysis.settings import read_configs, spell_key
from hpcexp.analysis.statistics.effects import (
    Estimate,
    hodges_lehmann,
    probability_of_improvement,
)
from hpcexp.analysis.statistics.groups import Extremes, GroupEstimates, estimate_group
from hpcexp.analysis.statistics.multiplicity import Adjusted, adjust_holm
from hpcexp.analysis.statistics.paired import sign_test, signed_rank
from hpcexp.analysis.statistics.power import SampleSizes, find_sample_sizes
from hpcexp.analysis.statistics.proportions import boschloo_exact, fisher_exact
from hpcexp.analysis.statistics.ranks import RankTest, mann_whitney
from hpcexp.analysis.statistics.reach import LEVEL
from hpcexp.analysis.statistics.several import (
    Trend,
    TwoAxes,
    compare_two_axes,
    kruskal_wallis,
    spearman_trend,
)
from hpcexp.analysis.statistics.verdicts import Verdict, judge
from hpcexp.store.deciding import Deciding, PairStanding, Standing, read_deciding
from hpcexp.store.status import FAILED, FINISHED, State
from hpcexp.train.metric import Metric

UNKNOWN = (*sorted(FAILED), State.CANCELLED, State.LOST, MISSING)
"""States of runs that crashed or went missing: no outcome, and none to come by itself."""

Sample = NDArray[np.float64]


@dataclass(frozen=True)
class GroupFinding:
    """One group: its place, how its runs ended, and its numbers.

    `num_censored` runs were stopped because they were foretold to fail: nobody saw them fail.
    """

    name: str
    label: str
    states: Mapping[str, int]
    estimates: GroupEstimates
    num_censored: int = 0


@dataclass(frozen=True)
class PairedTests:
    """Pairs of runs with the same random initialisation in both groups."""

    num_pairs: int
    signed_rank_p: float
    sign_p: float


@dataclass(frozen=True)
class PairFinding:
    """Two groups held against each other; what stands after `verdict` describes and never decides.

    `varied` are the declared names in which they differ, `caveats` the kinds of those that
    stand between a difference and its cause. `improvement` is the chance that a run of `first`
    is better than one of `second`, `shift` how much higher `second` is. `p_cases` are the
    smallest and the largest p with the unknown runs of both groups at their best and worst.
    `look` is the newest look at the pair by the experiment's plan of looks, if it has one; the
    verdict is then the plan's.
    """

    first: str
    second: str
    varied: tuple[str, ...]
    caveats: tuple[str, ...]
    num_runs: tuple[int, int]
    p: float
    is_exact: bool
    adjusted_p: float
    multiplier: int
    verdict: Verdict
    improvement: Estimate
    shift: Estimate
    p_cases: Extremes | None
    fisher_p: float | None
    boschloo_p: float | None
    paired: PairedTests | None
    sample_sizes: SampleSizes | None
    look: PairStanding | None = None

    @property
    def better(self) -> str:
        """The group whose runs are the better ones more often; the first where neither is."""
        return self.first if self.improvement.value >= 0.5 else self.second

    @property
    def worse(self) -> str:
        """The other one."""
        return self.second if self.better == self.first else self.first

    @property
    def shows_cause(self) -> bool:
        """Whether the groups differ in one declared variable and nothing else that is known."""
        return len(self.varied) == 1 and not self.caveats


@dataclass(frozen=True)
class Findings:
    """All of an experiment, in the order of every table and figure.

    `trend` is along the one numeric axis, `two_axes` of a grid of two, `deciding` the plan of
    looks and what they found, `stopping` what rules did that foretell failure, `sampled` what
    samples say of their axes; None where there is no such thing.
    """

    metric: Metric
    margin: float | None
    variables: tuple[str, ...]
    family: Family
    groups: tuple[GroupFinding, ...]
    pairs: tuple[PairFinding, ...]
    caveats: tuple[Caveat, ...]
    kruskal_wallis_p: float | None
    trend: Trend | None
    two_axes: TwoAxes | None
    deciding: Deciding | None = None
    stopping: StoppingRecord | None = None
    sampled: SampledFindings | None = None

    def get_group(self, name: str) -> GroupFinding:
        """The group of that name."""
        return next(group for group in self.groups if group.name == name)


def find_out(
    results: Results, *, family: Family | None = None, configs: Mapping[str, Any] | None = None
) -> Findings:
    """Compare the groups on the primary metric, as the template declared.

    Reads the groups' configurations where they are not given. The numbers that are drawn at
    random (trend, two axes, sample sizes) repeat: their seed is the experiment's name.
    """
    plan, axis = results.plan, results.group_axis
    family = family or make_family(plan.comparison, plan.groups, axis, is_sampled=is_sampled(plan))
    configs = read_configs(results.experiment, plan) if configs is None else configs
    samples = _collect_samples(results)
    groups = tuple(
        _describe_group(results, name, label, samples[name])
        for name, label in zip(axis.names, axis.labels, strict=True)
    )
    caveats = find_caveats(
        plan, configs, family, num_runs=_count_hopeful(groups), unfinished=_count_unfinished(groups)
    )
    generator = np.random.default_rng(zlib.crc32(results.experiment.name.encode()))
    present = [name for name in axis.names if len(samples[name])]
    deciding = read_deciding(results.experiment)
    return Findings(
        metric=results.metric,
        margin=plan.comparison.get("margin"),
        variables=tuple(list_hyperparameters(plan.groups)),
        family=family,
        groups=groups,
        pairs=tuple(
            _judge_by_plan(pair, deciding)
            for pair in _compare_pairs(results, family, groups, samples, caveats, generator)
        ),
        caveats=caveats,
        kruskal_wallis_p=(
            kruskal_wallis([samples[name] for name in present])
            if len(present) > 2 and not is_sampled(plan)
            else None
        ),
        trend=_find_trend(results, samples, present, generator),
        two_axes=_find_two_axes(results, samples, generator),
        deciding=deciding,
        stopping=assess_stopping(results),
        sampled=find_out_sampled(results, generator=generator),
    )


def _judge_by_plan(pair: PairFinding, deciding: Deciding | None) -> PairFinding:
    """With the verdict of the plan of looks, which a p of a moment between them cannot overrule."""
    if deciding is None or (pair.first, pair.second) not in deciding.plan.pairs:
        return pair
    look = deciding.standings.get((pair.first, pair.second))
    verdict = Verdict.SUGGESTIVE if pair.p <= LEVEL else Verdict.INCONCLUSIVE
    if look is not None and look.standing == Standing.DIFFERENT:
        verdict = Verdict.SUPPORTED
    elif look is not None and look.standing == Standing.EQUIVALENT:
        verdict = Verdict.EQUIVALENT
    return dataclasses.replace(pair, verdict=verdict, look=look)


def _collect_samples(results: Results) -> dict[str, Sample]:
    """Final values by group, diverged runs infinite, runs without an outcome left out."""
    final = results.runs[f"final.{results.metric.name}"].to_numpy(np.float64)
    names = results.runs["group"].astype(str).to_numpy()
    return {name: final[(names == name) & ~np.isnan(final)] for name in results.group_axis.names}


def _describe_group(results: Results, name: str, label: str, sample: Sample) -> GroupFinding:
    runs = results.runs[results.runs["group"] == name]
    counted = runs["state"].value_counts()
    states = {str(state): int(count) for state, count in counted.items()}
    num_unknown = sum(states.get(str(state), 0) for state in UNKNOWN)
    below = results.metric.success_below
    estimates = estimate_group(sample, success_below=below, num_unknown=num_unknown)
    return GroupFinding(name, label, states, estimates, int(runs["is_censored"].sum()))


def _count_hopeful(groups: Iterable[GroupFinding]) -> dict[str, int]:
    """Runs with an outcome, or perhaps with one later."""
    return {g.name: sum(g.states.values()) - g.estimates.num_unknown for g in groups}


def _count_unfinished(groups: Iterable[GroupFinding]) -> dict[str, int]:
    ended = {str(state) for state in (*FINISHED, *UNKNOWN)}
    counts: dict[str, int] = {}
    for group in groups:
        for state, count in group.states.items():
            if state not in ended:
                counts[state] = counts.get(state, 0) + count
    return counts


def _compare_pairs(
    results: Results,
    family: Family,
    groups: Sequence[GroupFinding],
    samples: Mapping[str, Sample],
    caveats: Sequence[Caveat],
    generator: np.random.Generator,
) -> Iterable[PairFinding]:
    """The pairs of the family of which both groups have outcomes; the family stays as declared.

    A pair that cannot be tested yet counts in Holm's procedure as one with p = 1.
    """
    tests = {
        pair: mann_whitney(samples[pair[0]], samples[pair[1]])
        for pair in family.pairs
        if all(len(samples[name]) for name in pair)
    }
    p_values = [tests[pair].p if pair in tests else 1.0 for pair in family.pairs]
    adjusted = dict(zip(family.pairs, adjust_holm(p_values), strict=True))
    by_name = {group.name: group for group in groups}
    planned = {group.name: group for group in results.plan.groups}
    starts = _collect_starts(results)
    for pair, test in tests.items():
        first, second = pair
        yield _compare(
            results,
            (by_name[first], by_name[second]),
            (samples[first], samples[second]),
            (starts.get(first, {}), starts.get(second, {})),
            test,
            adjusted[pair],
            varied=list_varied(planned[first], planned[second]),
            caveats=tuple(c.kind for c in caveats if c.concerns(first, second)),
            generator=generator,
        )


def _compare(
    results: Results,
    groups: tuple[GroupFinding, GroupFinding],
    samples: tuple[Sample, Sample],
    starts: tuple[Mapping[int, float], Mapping[int, float]],
    test: RankTest,
    adjusted: Adjusted,
    *,
    varied: tuple[str, ...],
    caveats: tuple[str, ...],
    generator: np.random.Generator,
) -> PairFinding:
    a, b = samples
    shift = hodges_lehmann(a, b)
    verdict = judge(
        p=test.p,
        adjusted_p=adjusted.p,
        shift=shift.interval,
        margin=results.plan.comparison.get("margin"),
    )
    rates = _count_successes(samples, results.metric)
    return PairFinding(
        first=groups[0].name,
        second=groups[1].name,
        varied=varied,
        caveats=caveats,
        num_runs=(len(a), len(b)),
        p=test.p,
        is_exact=test.is_exact,
        adjusted_p=adjusted.p,
        multiplier=adjusted.multiplier,
        verdict=verdict,
        improvement=probability_of_improvement(a, b),
        shift=shift,
        p_cases=_find_p_cases(samples, [g.estimates.num_unknown for g in groups]),
        fisher_p=fisher_exact(*rates) if rates else None,
        boschloo_p=boschloo_exact(*rates) if rates else None,
        paired=_compare_in_pairs(*starts),
        sample_sizes=(
            find_sample_sizes(a, b, alpha=LEVEL / adjusted.multiplier, generator=generator)
            if verdict is Verdict.INCONCLUSIVE and min(len(a), len(b)) > 1
            else None
        ),
    )


def _count_successes(
    samples: tuple[Sample, Sample], metric: Metric
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    below = metric.success_below
    if below is None:
        return None
    first, second = samples
    return (int((first < below).sum()), int((second < below).sum())), (len(first), len(second))


def _find_p_cases(samples: tuple[Sample, Sample], num_unknown: Sequence[int]) -> Extremes | None:
    """p with the unknown runs of either group better than all, or worse than all."""
    if not any(num_unknown):
        return None
    lowest = min(float(sample.min()) for sample in samples)
    best = 0.0 if math.isinf(lowest) else lowest - 1
    p_values = [
        mann_whitney(
            *(
                np.concatenate([sample, np.full(count, value)])
                for sample, count, value in zip(samples, num_unknown, values, strict=True)
            )
        ).p
        for values in ((best, math.inf), (math.inf, best), (best, best), (math.inf, math.inf))
    ]
    return Extremes(min(p_values), max(p_values))


def _collect_starts(results: Results) -> dict[str, dict[int, float]]:
    """Final values by group and initialisation; empty where equal numbers mean nothing."""
    if not results.plan.comparison.get("paired", True):
        return {}
    final = results.runs[f"final.{results.metric.name}"].to_numpy(np.float64)
    starts: dict[str, dict[int, float]] = {name: {} for name in results.group_axis.names}
    inits = results.runs["rand_init"].tolist()
    for group, rand_init, value in zip(results.runs["group"], inits, final.tolist(), strict=True):
        if not math.isnan(value):
            starts[str(group)][rand_init] = value
    return starts


def _compare_in_pairs(
    first: Mapping[int, float], second: Mapping[int, float]
) -> PairedTests | None:
    """Final values by initialisation; None for fewer than two pairs."""
    shared = [rand_init for rand_init in first if rand_init in second]
    if len(shared) < 2:
        return None
    a, b = ([values[rand_init] for rand_init in shared] for values in (first, second))
    return PairedTests(len(shared), signed_rank(a, b).p, sign_test(a, b).p)


def _find_trend(
    results: Results,
    samples: Mapping[str, Sample],
    present: Sequence[str],
    generator: np.random.Generator,
) -> Trend | None:
    if not results.group_axis.is_numeric or len(present) < 3:
        return None
    name = results.group_axis.title
    places = {group.name: float(group.values[name]) for group in results.plan.groups}
    x = np.concatenate([np.full(len(samples[n]), places[n]) for n in present])
    y = np.concatenate([samples[n] for n in present])
    return spearman_trend(x, y, generator=generator)


def _find_two_axes(
    results: Results, samples: Mapping[str, Sample], generator: np.random.Generator
) -> TwoAxes | None:
    """Of a grid of two axes, all of whose groups have outcomes."""
    names = list_hyperparameters(results.plan.groups)
    groups = [g for g in results.plan.groups if len(samples[g.name])]
    if len(names) != 2 or len(groups) < len(results.plan.groups):
        return None
    levels = [[spell_key(g.values, name) for g in groups] for name in names]
    sizes = [len(set(column)) for column in levels]
    if min(sizes) < 2 or sizes[0] * sizes[1] != len(groups):
        return None
    counts = [len(samples[g.name]) for g in groups]
    first, second = (
        [level for level, count in zip(column, counts, strict=True) for _ in range(count)]
        for column in levels
    )
    values = np.concatenate([samples[g.name] for g in groups])
    return compare_two_axes(first, second, values, generator=generator)
