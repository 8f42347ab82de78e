"""Findings in words: a line for each thing that the runs say, or do not say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hpcexp.analysis.findings import Findings, GroupFinding, PairFinding
from hpcexp.analysis.foretelling.stopped import describe_stopping
from hpcexp.analysis.look_lines import describe_look_at, describe_looks
from hpcexp.analysis.sampled import describe_sampled
from hpcexp.analysis.spelling import join_words, spell_number, spell_p
from hpcexp.analysis.statistics.modality import Mode
from hpcexp.analysis.statistics.power import MAX_RUNS, SampleSizes
from hpcexp.analysis.statistics.verdicts import Verdict
from hpcexp.grid import GROUP
from hpcexp.train.metric import Metric

MAX_LINES = 6
_WIDTH = 14
_COLLAPSED = 0.99  # of the metric's cap
_REST = "plots/statistics_pairs.csv has all"


def describe_verdicts(findings: Findings, *, rest: str = _REST) -> list[str]:
    """Verdicts first, then what else there is to see, then what stands in the way.

    `rest` says where the pairs are of which there are too many to name them here.

    Each line begins with a word: looks, supported, suggestive, equivalent, inconclusive, also,
    best, anew, foretold, bimodal, unknown, warning.
    """
    said = [
        *(("looks", text) for text in describe_looks(findings.deciding)),
        *_describe_supported(findings, rest),
        *_describe_each(findings, Verdict.SUGGESTIVE, rest),
        *_describe_each(findings, Verdict.EQUIVALENT, rest),
        *_describe_each(findings, Verdict.INCONCLUSIVE, rest),
        *describe_sampled(findings.sampled),
        *(("also", text) for text in _list_asides(findings)),
        *(("foretold", text) for text in describe_stopping(findings.stopping)),
        *(("bimodal", text) for text in _list_bimodal(findings)),
        *(("unknown", text) for text in _list_unknown(findings)),
        *(("warning", text) for text in _list_warnings(findings)),
    ]
    return [f"{word:<{_WIDTH}}{text}" for word, text in said]


def describe_pair(findings: Findings, pair: PairFinding) -> str:
    """One comparison as a sentence, with the numbers behind it."""
    better, worse = (findings.get_group(name).label for name in (pair.better, pair.worse))
    if findings.deciding is not None and (pair.first, pair.second) in findings.deciding.plan.pairs:
        names = {group.name: group.label for group in findings.groups}
        return describe_look_at(pair, findings.deciding.plan, labels=names, begin=_begin(pair))
    if pair.verdict is Verdict.SUPPORTED:
        return f"{_begin(pair)}{better} is lower than {worse} ({_spell_family_p(findings, [pair])})"
    if pair.verdict is Verdict.SUGGESTIVE:
        return (
            f"{better} may be lower than {worse} (p = {spell_p(pair.p)}, but "
            f"{spell_p(pair.adjusted_p)} with Holm over {findings.family.words})"
        )
    first, second = (findings.get_group(name).label for name in (pair.first, pair.second))
    if pair.verdict is Verdict.EQUIVALENT and pair.shift.interval is not None:
        low, high = pair.shift.interval.low, pair.shift.interval.high
        return (
            f"{first} and {second} differ by less than {findings.margin:g} "
            f"(90 % interval {_spell_shift(low)} to {_spell_shift(high)}, p = {spell_p(pair.p)})"
        )
    return f"{first} against {second} (p = {spell_p(pair.p)}){_describe_sizes(pair.sample_sizes)}"


def _describe_supported(findings: Findings, rest: str) -> list[tuple[str, str]]:
    """Pairs with one worse group in one line: `16 and 32 are lower than 128`."""
    supported = [pair for pair in findings.pairs if pair.verdict is Verdict.SUPPORTED]
    if findings.deciding is not None:  # each was decided at a look of its own
        return _cut("supported", [describe_pair(findings, pair) for pair in supported], rest)
    together: dict[tuple[str, str], list[PairFinding]] = {}
    for pair in supported:
        together.setdefault((pair.worse, _begin(pair)), []).append(pair)
    lines = [
        f"{begin}{_name_lower(findings, pairs)} lower than {findings.get_group(worse).label} "
        f"({_spell_family_p(findings, pairs)})"
        for (worse, begin), pairs in together.items()
    ]
    return _cut("supported", lines, rest)


def _describe_each(findings: Findings, verdict: Verdict, rest: str) -> list[tuple[str, str]]:
    pairs = [pair for pair in findings.pairs if pair.verdict is verdict]
    if len(pairs) > MAX_LINES:  # those that are left out are the least certain ones
        pairs.sort(key=lambda pair: pair.p)
    return _cut(str(verdict), [describe_pair(findings, pair) for pair in pairs], rest)


def _cut(word: str, lines: Sequence[str], rest: str) -> list[tuple[str, str]]:
    shown = [(word, line) for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        more = len(lines) - MAX_LINES
        shown.append((word, f"and {more} more: {rest}"))
    return shown


def _begin(pair: PairFinding) -> str:
    """What may be said of a cause: the one declared variable, or only that groups differ."""
    if pair.shows_cause and pair.varied[0] != GROUP:
        return f"{pair.varied[0]} matters: "
    return "the groups differ: "


def _name_lower(findings: Findings, pairs: Sequence[PairFinding]) -> str:
    labels = [findings.get_group(pair.better).label for pair in pairs]
    return f"{join_words(labels)} {'is' if len(labels) == 1 else 'are'}"


def _spell_family_p(findings: Findings, pairs: Sequence[PairFinding]) -> str:
    largest = max(pair.adjusted_p for pair in pairs)
    same = len({spell_p(pair.adjusted_p) for pair in pairs}) == 1
    sign = "" if spell_p(largest).startswith("<") else "= " if same else "<= "
    family = "" if len(findings.family.pairs) == 1 else f", Holm over {findings.family.words}"
    return f"p {sign}{spell_p(largest)}{family}"


def _describe_sizes(sizes: SampleSizes | None) -> str:
    if sizes is None:
        return ""
    if sizes.low is None:
        return (
            f": not even {MAX_RUNS} initialisations per group would decide a difference like this"
        )
    most = f"more than {MAX_RUNS}" if sizes.high is None else _round_up(sizes.high)
    if most == str(sizes.low):
        return f": {most} initialisations per group would decide a difference like this"
    return f": {sizes.low} to {most} initialisations per group would decide a difference like this"


def _round_up(number: int) -> str:
    """To two digits: the range is no more exact."""
    step = 10 ** max(0, len(str(number)) - 2)
    return str(-(-number // step) * step)


def _list_asides(findings: Findings) -> Iterable[str]:
    if findings.kruskal_wallis_p is not None:
        p = findings.kruskal_wallis_p
        yield f"all groups together: Kruskal-Wallis p {_equals(p)}"
    if findings.trend is not None:
        trend = findings.trend
        yield f"trend along the axis: Spearman {trend.rho:.2f} (p {_equals(trend.p)})"
    if findings.two_axes is not None:
        two, names = findings.two_axes, findings.variables
        yield (
            f"both axes: {names[0]} p {_equals(two.p_first)}, {names[1]} p "
            f"{_equals(two.p_second)}, one changes what the other does p "
            f"{_equals(two.p_interaction)} (permutations)"
        )
    if len(findings.pairs) == 1 and findings.pairs[0].paired is not None:
        paired = findings.pairs[0].paired
        yield (
            f"{paired.num_pairs} pairs of equal initialisations: signed ranks p "
            f"{_equals(paired.signed_rank_p)}, signs p {_equals(paired.sign_p)}"
        )
    for pair in findings.pairs[: MAX_LINES if len(findings.pairs) == 1 else 0]:
        share, interval = pair.improvement.value, pair.improvement.interval
        if interval is not None:
            first, second = (findings.get_group(n).label for n in (pair.first, pair.second))
            yield (
                f"a run of {first} is better than one of {second} with {100 * share:.0f} % "
                f"[{100 * interval.low:.0f} %, {100 * interval.high:.0f} %]"
            )


def _equals(p: float) -> str:
    spelled = spell_p(p)
    return spelled if spelled.startswith("<") else f"= {spelled}"


def _list_bimodal(findings: Findings) -> list[str]:
    lines = [
        f"{group.label}: {_describe_modes(group.estimates.modes, findings.metric)}"
        for group in findings.groups
        if group.estimates.is_bimodal
    ]
    return [*lines[:MAX_LINES], *(["and more"] if len(lines) > MAX_LINES else [])]


def _describe_modes(modes: Sequence[Mode], metric: Metric) -> str:
    """`4 runs near 0.18 (success), 4 near 0.50 (failure)`."""
    parts = []
    for place, mode in enumerate(modes):
        noun = "" if place else " runs" if mode.num_runs > 1 else " run"
        kind = name_outcome(mode, metric)
        if kind == "diverged":
            parts.append(f"{mode.num_runs}{noun} diverged")
        else:
            named = f" ({kind})" if kind else ""
            parts.append(f"{mode.num_runs}{noun} near {spell_number(mode.median)}{named}")
    return ", ".join(parts)


def name_outcome(mode: Mode, metric: Metric) -> str:
    """success, failure, collapse (as bad as the metric's cap) or diverged; empty where mixed."""
    if mode.median == float("inf"):
        return "diverged"
    if metric.cap is not None and mode.low >= _COLLAPSED * metric.cap:
        return "collapse"
    if metric.success_below is None:
        return ""
    if mode.high < metric.success_below:
        return "success"
    return "failure" if mode.low >= metric.success_below else ""


def _list_unknown(findings: Findings) -> list[str]:
    lines = [_describe_unknown(group) for group in findings.groups if group.estimates.num_unknown]
    lines = [*lines[:MAX_LINES], *(["and more"] if len(lines) > MAX_LINES else [])]
    cases = findings.pairs[0].p_cases if len(findings.pairs) == 1 else None
    if cases is not None:
        lines.append(f"with them p could be from {spell_p(cases.best)} to {spell_p(cases.worst)}")
    return lines


def _describe_unknown(group: GroupFinding) -> str:
    found, num = group.estimates, group.estimates.num_unknown
    parts = []
    if found.median_cases is not None:
        cases = found.median_cases
        low = "unknown" if math.isnan(cases.best) else spell_number(cases.best)
        parts.append(f"the median is {low} to {spell_number(cases.worst)}")
    if found.rate_cases is not None:
        worst, best = found.rate_cases.worst, found.rate_cases.best
        parts.append(f"the success rate {100 * worst:.0f} % to {100 * best:.0f} %")
    runs = "1 run" if num == 1 else f"{num} runs"
    return f"{group.label}: {runs} without an outcome; whatever it would be, {', '.join(parts)}"


def _list_warnings(findings: Findings) -> list[str]:
    problem = [f"{findings.family.problem}: all pairs are compared"]
    declared = problem if findings.family.problem else []
    return [*declared, *(caveat.message for caveat in findings.caveats)]


def _spell_shift(value: float) -> str:
    return f"{value:+.2g}"
