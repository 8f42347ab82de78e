"""Results as lines of text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcexp.analysis.frames import MISSING, Results
from hpcexp.analysis.summary import CONFIDENCE, GroupSummary, Summary
from hpcexp.store.status import FINISHED, State

MAX_RUNS_LISTED = 10
_MAX_NAME_LENGTH = 44
_UNACCOUNTED = (State.FAILED, State.CANCELLED, State.LOST, MISSING)
_DIVERGED = "diverged"


def describe(results: Results, summary: Summary) -> str:
    """How many runs count, the table of groups, and the runs that do not count, with reasons."""
    blocks = [
        describe_counts(summary.states),
        *_describe_rest(summary),
        "",
        *_make_table(summary),
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


def spell_number(value: float) -> str:
    """Two decimals where they say something, else two significant digits."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return _DIVERGED
    return f"{value:.2f}" if 0.1 <= abs(value) < 1000 or value == 0 else f"{value:.2g}"


def _describe_rest(summary: Summary) -> list[str]:
    """What is not counted: not yet, or never unless someone acts."""
    rest = {s: n for s, n in summary.states.items() if s not in FINISHED}
    return [f"not counted: {describe_states(rest)}"] if any(rest.values()) else []


def _make_table(summary: Summary) -> list[str]:
    header = [summary.metric.title, "n", "median", "[min, max]"]
    if summary.metric.success_below is not None:
        below = f"successes (< {summary.metric.success_below:g})"
        header += [below, f"[{100 * CONFIDENCE:.0f} %]"]
    table = [[*header, "untrained"], *(_make_row(group) for group in summary.groups)]
    return _align(table, right=(1, 2, len(header)))


def _make_row(group: GroupSummary) -> list[str]:
    final, success = group.final, group.success
    span = f"[{spell_number(final.min)}, {spell_number(final.max)}]" if final.n else ""
    row = [_shorten(group.group), str(final.n), spell_number(final.median), span]
    if success is not None:
        interval = f"[{_percent(success.low)}, {_percent(success.high)}]" if final.n else ""
        row += [f"{success.num_successes}/{success.num_trials}", interval]
    return [*row, spell_number(group.untrained_median)]


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"


def _shorten(name: str) -> str:
    if len(name) <= _MAX_NAME_LENGTH:
        return name
    half = _MAX_NAME_LENGTH // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def _align(table: Sequence[Sequence[str]], *, right: Iterable[int]) -> list[str]:
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
