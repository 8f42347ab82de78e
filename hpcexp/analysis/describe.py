"""Results as lines of text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcexp.analysis.findings import Findings, GroupFinding
from hpcexp.analysis.frames import MISSING, Results
from hpcexp.analysis.sampled import make_best_table
from hpcexp.analysis.spelling import spell_number, spell_percent
from hpcexp.analysis.statistics.intervals import CONFIDENCE
from hpcexp.analysis.summary import Summary
from hpcexp.analysis.verdict_lines import describe_verdicts
from hpcexp.store.status import FINISHED, State

MAX_RUNS_LISTED = 10
_MAX_NAME_LENGTH = 44
_UNACCOUNTED = (State.FAILED, State.CANCELLED, State.LOST, MISSING)
_MIN_RUNS_FOR_95 = 6


def describe(results: Results, summary: Summary, findings: Findings) -> str:
    """How many runs count, the table of groups, the verdicts, and the runs that do not count."""
    blocks = [
        describe_counts(summary.states),
        *_describe_rest(summary),
        "",
        *(_make_best(findings) or make_table(findings, _list_untrained(summary))),
        *_explain_levels(findings),
        *_pad(describe_verdicts(findings)),
        *_list_runs(results),
        *_list_problems(results),
    ]
    return "\n".join(line.rstrip() for line in blocks)


def describe_counts(states: Mapping[str, int]) -> str:
    """`6 of 6 runs (5 completed, 1 diverged and counted as a failure)`."""
    counted = [
        f"{count} {state}" + (" and counted as a failure" if state == State.DIVERGED else "")
        for state, count in states.items()
        if state in FINISHED and count
    ]
    finished = sum(count for state, count in states.items() if state in FINISHED)
    inside = f" ({', '.join(counted)})" if counted else ""
    return f"{finished} of {sum(states.values())} runs{inside}"


def describe_states(states: Mapping[str, int]) -> str:
    """`2 running, 1 failed`."""
    return ", ".join(f"{count} {state}" for state, count in states.items() if count)


def describe_written(paths: Sequence[Path]) -> str:
    """`wrote plots/linear_projection_mse.pdf, .png, .csv and 5 more`: figures are counted once."""
    if not paths:
        return "wrote nothing: there is nothing to draw yet"
    stems = list(dict.fromkeys(path.with_suffix("") for path in paths))
    first = [path for path in paths if path.with_suffix("") == stems[0]]
    suffixes = ", ".join(path.suffix for path in first[1:])
    more = f" and {len(stems) - 1} more" if len(stems) > 1 else ""
    named = f"{first[0].parent.name}/{first[0].name}"
    return f"wrote {', '.join(filter(None, [named, suffixes]))}{more}"


def _describe_rest(summary: Summary) -> list[str]:
    """What is not counted: not yet, or never unless someone acts."""
    rest = {s: n for s, n in summary.states.items() if s not in FINISHED}
    return [f"not counted: {describe_states(rest)}"] if any(rest.values()) else []


def make_table(findings: Findings, untrained: Sequence[float] | None = None) -> list[str]:
    """A line for each group: n, the median with its interval, successes with theirs.

    The level of the intervals stands in the header where it is one, else beside each.
    """
    metric = findings.metric
    levels = {g.estimates.median_interval.level for g in findings.groups
              if g.estimates.median_interval is not None}  # fmt: skip
    level = levels.pop() if len(levels) == 1 else None
    header = [
        metric.title,
        "n",
        "median",
        "[level]" if level is None else f"[{spell_percent(level)}]",
    ]
    if metric.success_below is not None:
        below = f"successes (< {metric.success_below:g})"
        header += [below, f"[{100 * CONFIDENCE:.0f} %]"]
    last = [] if untrained is None else ["untrained"]
    table = [[*header, *last]]
    for place, group in enumerate(findings.groups):
        end = [] if untrained is None else [spell_number(untrained[place])]
        table.append([*_make_row(group, with_level=level is None), *end])
    return align(table, right=(1, 2, len(header)))


def _make_best(findings: Findings) -> list[str]:
    """Of samples the best with their values; the others stand in statistics_groups.csv."""
    if findings.sampled is None or not findings.sampled.best:
        return []
    table = make_best_table(findings.sampled, metric=findings.metric.title)
    return align(table, right=range(1, len(table[0])))


def _list_untrained(summary: Summary) -> list[float] | None:
    """None where nobody measured it, as of results from elsewhere."""
    medians = [group.untrained_median for group in summary.groups]
    return None if all(math.isnan(median) for median in medians) else medians


def _make_row(group: GroupFinding, *, with_level: bool) -> list[str]:
    found = group.estimates
    row = [_name(group), str(found.n), spell_number(found.median), ""]
    if found.median_interval is not None:
        interval = found.median_interval
        level = f" {spell_percent(interval.level)}" if with_level else ""
        row[3] = f"[{spell_number(interval.low)}, {spell_number(interval.high)}]{level}"
    if found.success is not None:
        rate = found.success.interval
        shown = "" if rate is None else f"[{100 * rate.low:.0f} %, {100 * rate.high:.0f} %]"
        row += [f"{found.success.num_successes}/{found.success.num_runs}", shown]
    return row


def _explain_levels(findings: Findings) -> list[str]:
    if findings.sampled is not None:
        return []  # no interval is shown
    few = {g.estimates.n for g in findings.groups if 0 < g.estimates.n < _MIN_RUNS_FOR_95}
    if not few:
        return []
    return [
        "",
        f"of {_MIN_RUNS_FOR_95 - 1} runs or fewer no interval of the median has 95 %: theirs is "
        "the whole range, with the level that it has",
    ]


def _pad(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []


def _name(group: GroupFinding) -> str:
    """As the verdicts call it where its whole name is too long for a column."""
    return group.name if len(group.name) <= _MAX_NAME_LENGTH else group.label


def align(table: Sequence[Sequence[str]], *, right: Iterable[int]) -> list[str]:
    """Columns of equal width, two spaces apart, indented by two; some flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    flush_right = set(right)
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if place in flush_right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells))
    return lines


def _list_runs(results: Results) -> list[str]:
    """Diverged runs, and those that have no result and train no more, each with its reason."""
    lines: list[str] = []
    for state in (State.DIVERGED, *_UNACCOUNTED):
        chosen = results.runs[results.runs["state"] == state]
        if chosen.empty:
            continue
        shown = chosen.head(MAX_RUNS_LISTED).to_dict("records")
        lines += ["", str(state), *(line for run in shown for line in _describe_run(run))]
        if len(chosen) > len(shown):
            lines.append(f"  ... and {len(chosen) - len(shown)} more")
    return lines


def _describe_run(run: Mapping[Any, Any]) -> list[str]:
    name, reason, hint = run["run"], run["reason"], run["hint"]
    return [f"  {name}  {reason}", *([f"  {' ' * len(name)}  -> {hint}"] if hint else [])]


def _list_problems(results: Results) -> list[str]:
    """What else cannot be read; missing runs have been listed with their reasons."""
    missing = set(results.runs.loc[results.runs["state"] == MISSING, "run"])
    others = [text for text in results.problems if text.split(":")[0] not in missing]
    shown = [f"! {text}" for text in others[:MAX_RUNS_LISTED]]
    if len(others) > len(shown):
        shown.append(f"! ... and {len(others) - len(shown)} more")
    return ["", *shown] if shown else []
