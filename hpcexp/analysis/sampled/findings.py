"""What a sampled experiment says: trends, the best samples, and their words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcexp.analysis.frames import Results
from hpcexp.analysis.groups import spell_label
from hpcexp.analysis.sampled.best import BestSample, find_best
from hpcexp.analysis.sampled.table import is_sampled, make_sample_table
from hpcexp.analysis.sampled.trends import AxisTrend, find_trends
from hpcexp.analysis.spelling import spell_number, spell_p
from hpcexp.analysis.statistics.verdicts import Verdict

NUM_FRESH = 5
"""So many initialisations in all are advised for the best samples."""
_NUM_NAMED = 3


@dataclass(frozen=True)
class SampledFindings:
    """Trends along the axes, and the best samples; `num_drawn` is set for an adaptive search.

    `num_samples` have outcomes, of `num_planned`.
    """

    experiment: str
    method: str
    num_samples: int
    num_planned: int
    num_drawn: int | None
    axes: tuple[str, ...]
    trends: tuple[AxisTrend, ...]
    best: tuple[BestSample, ...]


def find_out_sampled(results: Results, *, generator: np.random.Generator) -> SampledFindings | None:
    """The findings of an experiment; None where its axes were not sampled."""
    if not is_sampled(results.plan):
        return None
    table = make_sample_table(results)
    return SampledFindings(
        experiment=results.experiment.name,
        method=table.space.method,
        num_samples=len(table.groups),
        num_planned=table.num_planned,
        num_drawn=table.num_drawn if table.space.is_adaptive else None,
        axes=table.axes,
        trends=find_trends(table, generator=generator),
        best=find_best(table),
    )


def describe_sampled(found: SampledFindings | None) -> Iterator[tuple[str, str]]:
    """Lines with the word that each begins with: verdicts of axes, then the best samples."""
    if found is None:
        return
    for verdict in (Verdict.SUPPORTED, Verdict.SUGGESTIVE, Verdict.INCONCLUSIVE):
        for trend in found.trends:
            if trend.verdict is verdict:
                yield str(verdict), _describe_trend(trend, found)
    if found.num_drawn is not None and found.trends:
        yield (
            "also",
            f"trends are tested on the {found.num_drawn} samples that did not depend on results",
        )
    if found.best:
        yield "best", "; ".join(_describe_best(one) for one in found.best[:_NUM_NAMED])
        yield _describe_curse(found)


def _describe_trend(trend: AxisTrend, found: SampledFindings) -> str:
    family = f", Holm over {len(found.trends)} axes" if len(found.trends) > 1 else ""
    shown = spell_p(trend.adjusted_p)
    p = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
    numbers = f"{p}{family}, {trend.num_samples} samples"
    if not math.isnan(trend.rho):
        numbers = f"Spearman {trend.rho:+.2f}, {numbers}"
    if trend.verdict is Verdict.INCONCLUSIVE:
        return f"{trend.axis}: no trend is shown ({numbers})"
    may = "may matter" if trend.verdict is Verdict.SUGGESTIVE else "matters"
    return f"{trend.axis} {may}: {_describe_shape(trend)} ({numbers})"


def _describe_shape(trend: AxisTrend) -> str:
    if trend.shape == "differs":
        return f"{spell_label(trend.best[0])} has the lowest median"
    low, high = (spell_label(value) for value in trend.best)
    among = f"the best fifth has {low} to {high}"
    words = {
        "rises": "lower values are better",
        "falls": "higher values are better",
        "bends up": "values in the middle are best",
        "bends down": "values at the ends are best",
    }
    return f"{words[trend.shape]}; {among}"


def _describe_best(one: BestSample) -> str:
    """`sample_017 0.12 (lr=0.00123, rnn_width=40)`."""
    return f"{one.group} {spell_number(one.value)} ({spell_values(one.values)})"


def spell_values(values: Mapping[str, Any]) -> str:
    """`lr=0.00123, rnn_width=40`."""
    return ", ".join(f"{name}={spell_label(value)}" for name, value in values.items())


def _describe_curse(found: SampledFindings) -> tuple[str, str]:
    anew = [one for one in found.best if one.num_fresh]
    if anew:
        told = "; ".join(
            f"{one.group} {spell_number(one.value)} -> {spell_number(one.fresh)} "
            f"({_count(one.num_fresh)})"
            for one in anew[:_NUM_NAMED]
        )
        return (
            "anew",
            f"what the best came to with initialisations that did not choose them: {told}",
        )
    names = ",".join(one.group for one in found.best)
    num_all = max(NUM_FRESH, found.best[0].num_runs + NUM_FRESH - 1)
    return (
        "warning",
        f"the best of {found.num_samples} look better than they are, as luck had a part in the "
        f"choice: hpcexp extend {found.experiment} --rand-inits {num_all} --only {names} "
        "trains them anew",
    )


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"median of {number} runs"


def make_best_table(found: SampledFindings, *, metric: str) -> list[Sequence[str]]:
    """Header and rows: the best samples with their values."""
    has_fresh = any(one.num_fresh for one in found.best)
    header = [f"best of {found.num_samples}", metric, *(["anew"] if has_fresh else []), *found.axes]
    rows: list[Sequence[str]] = [header]
    for one in found.best:
        fresh = spell_number(one.fresh) if one.num_fresh else "-"
        values = [spell_label(one.values[a]) if a in one.values else "-" for a in found.axes]
        shown = [one.group, spell_number(one.value), *([fresh] if has_fresh else []), *values]
        rows.append(shown)
    return rows
