"""An experiment in a Jupyter notebook: a table of its groups."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results

MAX_GROUPS = 30
MAX_PROBLEMS = 5


def render_results(results: Results) -> str:
    """Name, question, states, and for each group its runs and the median of the primary metric."""
    escape = html.escape
    parts = [
        f"<b>{escape(results.experiment.name)}</b>",
        *([f"<br>{escape(results.plan.question)}"] if results.plan.question else []),
        f"<br>{escape(results.describe())}",
        _render_table(results),
        *(f"<br>! {escape(problem)}" for problem in results.problems[:MAX_PROBLEMS]),
        f"<code>.runs</code> {len(results.runs)} rows, <code>.metrics</code> "
        f"{len(results.metrics):,} rows; columns: docs/metrics.md",
    ]
    return f"<div>{''.join(parts)}</div>"


def _render_table(results: Results) -> str:
    axis, title = results.group_axis, html.escape(results.metric.title)
    head = f"<th>{html.escape(axis.title)}</th><th>n</th><th>median {title}</th><th>[min, max]</th>"
    has_threshold = results.metric.success_below is not None
    if has_threshold:
        head += f"<th>&lt; {results.metric.success_below:g}</th>"
    rows = [f"<tr><td>{'</td><td>'.join(cells)}</td></tr>" for cells in _iter_rows(results)]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _iter_rows(results: Results) -> Iterator[list[str]]:
    """Escaped cells; a diverged run counts as an infinite value."""
    axis = results.group_axis
    groups = dict(list(results.runs.groupby("group", observed=False)))
    for name, label in list(zip(axis.names, axis.labels, strict=True))[:MAX_GROUPS]:
        runs = groups[name]
        final = np.sort(runs[f"final.{results.metric.name}"].dropna().to_numpy(np.float64))
        n = f"{len(final)}" if len(final) == len(runs) else f"{len(final)} of {len(runs)}"
        cells = [html.escape(label), n]
        if len(final):
            middle = (final[(len(final) - 1) // 2] + final[len(final) // 2]) / 2
            cells += [_spell(middle), f"[{_spell(final[0])}, {_spell(final[-1])}]"]
        else:
            cells += ["", ""]
        if results.metric.success_below is not None:
            cells.append(f"{int(runs['success'].sum())}/{len(final)}")
        yield cells
    if len(axis.names) > MAX_GROUPS:
        yield [f"... and {len(axis.names) - MAX_GROUPS} more groups", "", "", ""]


def _spell(value: float) -> str:
    return "diverged" if np.isinf(value) else f"{value:.3g}"
