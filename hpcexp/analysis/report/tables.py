"""The tables of a page: groups, pairs and runs, as text that is ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcexp.analysis.describe import describe_states
from hpcexp.analysis.findings import Findings, GroupFinding, PairFinding
from hpcexp.analysis.frames import Results
from hpcexp.analysis.spelling import spell_hours, spell_number, spell_p, spell_percent
from hpcexp.analysis.statistics.intervals import Interval
from hpcexp.analysis.statistics.power import MAX_RUNS as MOST_NEEDED
from hpcexp.analysis.statistics.power import SampleSizes
from hpcexp.analysis.verdict_lines import describe_pair
from hpcexp.store.status import FINISHED, RunStatus, State

MAX_PAIRS = 500
MAX_RUNS = 2000


@dataclass(frozen=True)
class GroupRow:
    """One group; empty text where there is nothing to say."""

    label: str
    n: int
    others: str
    median: str
    interval: str
    level: str
    interquartile_mean: str
    mean: str
    successes: str
    rate: str


@dataclass(frozen=True)
class PairRow:
    """One comparison; `words` say it in a sentence."""

    first: str
    second: str
    verdict: str
    words: str
    p: str
    adjusted_p: str
    shift: str
    improvement: str
    fisher_p: str
    paired_p: str
    needed: str
    order: float


@dataclass(frozen=True)
class RunRow:
    """One run."""

    name: str
    seed: int
    state: str
    epoch: str
    final: str
    hours: str


def make_group_rows(findings: Findings) -> list[GroupRow]:
    """All groups, in the order of every figure."""
    return [_make_group_row(group) for group in findings.groups]


def make_pair_rows(findings: Findings) -> list[PairRow]:
    """The pairs of the family, the clearest differences first; at most MAX_PAIRS."""
    pairs = sorted(findings.pairs, key=lambda pair: (pair.adjusted_p, pair.p))[:MAX_PAIRS]
    return [_make_pair_row(findings, pair) for pair in pairs]


def make_run_rows(results: Results, statuses: Mapping[str, RunStatus]) -> list[RunRow]:
    """All runs in the plan's order; none where a table of them would be most of the page."""
    runs = results.runs
    if len(runs) > MAX_RUNS:
        return []
    final = runs[f"final.{results.metric.name}"].to_numpy(np.float64)
    return [
        RunRow(
            name=str(row["run"]),
            seed=int(row["rand_init"]),
            state=str(row["state"]).replace("_", " "),
            epoch=f"{row['epoch']} / {row['num_epochs']}" if row["num_epochs"] else "",
            final=spell_number(value),
            hours=_spell_run_hours(statuses.get(str(row["run"]))),
        )
        for row, value in zip(runs.to_dict("records"), final, strict=True)
    ]


def spell_interval(interval: Interval | None) -> str:
    """`[0.13, 0.36]`."""
    if interval is None:
        return ""
    return f"[{spell_number(interval.low)}, {spell_number(interval.high)}]"


def split_verdicts(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Lines of `describe_verdicts` as a word and what it is about."""
    parts = [line.partition(" ") for line in lines]
    return [(word, " ".join(text.split())) for word, _, text in parts]


def _make_group_row(group: GroupFinding) -> GroupRow:
    found = group.estimates
    level = found.median_interval.level if found.median_interval else None
    rate = found.success
    return GroupRow(
        label=group.label,
        n=found.n,
        others=_describe_others(group),
        median=spell_number(found.median),
        interval=spell_interval(found.median_interval),
        level="" if level is None else spell_percent(level),
        interquartile_mean=spell_number(found.interquartile_mean),
        mean=_describe_mean(group),
        successes="" if rate is None else f"{rate.num_successes} / {rate.num_runs}",
        rate=_spell_rate(rate.interval) if rate is not None else "",
    )


def _describe_others(group: GroupFinding) -> str:
    """Runs that are no ordinary outcome: `1 diverged, 2 running`."""
    plain = FINISHED - {State.DIVERGED}
    return describe_states(
        {s.replace("_", " "): n for s, n in group.states.items() if s not in plain}
    )


def _describe_mean(group: GroupFinding) -> str:
    found = group.estimates
    if found.is_bimodal:
        return "two kinds of runs"
    if found.mean is None:
        return ""
    return f"{spell_number(found.mean)} {spell_interval(found.mean_interval)}".strip()


def _spell_rate(interval: Interval | None) -> str:
    return "" if interval is None else f"{100 * interval.low:.0f} % to {100 * interval.high:.0f} %"


def spell_runs_needed(sizes: SampleSizes | None) -> str:
    """`6`, `4 to 17`, or `4 to over 1000`; nothing where no number was asked for."""
    if sizes is None:
        return ""
    low, high = (n or f"over {MOST_NEEDED}" for n in (sizes.low, sizes.high))
    return f"{low} to {high}" if low != high else f"{low}"


def _make_pair_row(findings: Findings, pair: PairFinding) -> PairRow:
    labels = [findings.get_group(name).label for name in (pair.first, pair.second)]
    return PairRow(
        first=labels[0],
        second=labels[1],
        verdict=str(pair.verdict),
        words=describe_pair(findings, pair),
        p=spell_p(pair.p),
        adjusted_p=spell_p(pair.adjusted_p),
        shift=_spell_estimate(pair.shift.value, pair.shift.interval),
        improvement=_spell_share(pair),
        fisher_p="" if pair.fisher_p is None else spell_p(pair.fisher_p),
        paired_p="" if pair.paired is None else spell_p(pair.paired.signed_rank_p),
        needed=spell_runs_needed(pair.sample_sizes),
        order=pair.adjusted_p,
    )


def _spell_estimate(value: float, interval: Interval | None) -> str:
    if not np.isfinite(value):
        return ""
    ends = ""
    if interval is not None:
        ends = f" [{_spell_signed(interval.low)}, {_spell_signed(interval.high)}]"
    return f"{_spell_signed(value)}{ends}"


def _spell_signed(value: float) -> str:
    return f"{value:+.2g}" if np.isfinite(value) else ("−∞" if value < 0 else "+∞")


def _spell_share(pair: PairFinding) -> str:
    share, interval = pair.improvement.value, pair.improvement.interval
    if not np.isfinite(share):
        return ""
    ends = ""
    if interval is not None:
        ends = f" [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"
    return f"{100 * share:.0f} %{ends}"


def _spell_run_hours(status: RunStatus | None) -> str:
    return spell_hours(status.trained_s / 3600) if status is not None and status.trained_s else ""
