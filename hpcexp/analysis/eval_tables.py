"""What looking into several models came to: a table of each kind, with its figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from hpcexp.analysis.figures.drawing import collect_text, save_drawing
from hpcexp.analysis.figures.fonts import using_fonts_for
from hpcexp.analysis.figures.inspection import draw_eval
from hpcexp.analysis.groups import make_group_axis
from hpcexp.analysis.inspection import make_eval_table, read_earlier
from hpcexp.errors import HpcexpError
from hpcexp.store.files import write_text
from hpcexp.store.locks import locked
from hpcexp.worker.inspection.evaluate import EvalReport


@dataclass(frozen=True)
class EvalTables:
    """The tables by kind, and what was wrong with those of earlier calls."""

    tables: dict[str, pd.DataFrame]
    problems: tuple[str, ...]


def save_eval_tables(report: EvalReport) -> EvalTables:
    """Write the tables and figures of all kinds that have numbers.

    Raises HpcexpError where nothing could be looked into, with the reasons.
    """
    if not any(run.is_done for run in report.runs):
        reasons = Counter(run.problem or run.skipped for run in report.runs)
        listed = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common(3))
        raise HpcexpError(
            f"{report.experiment.name}: nothing to look into ({listed}); "
            f"hpcexp status {report.experiment.name} shows why"
        )
    problems: list[str] = []
    tables = {kind: _save_table(report, kind, problems) for kind in report.kinds_with_numbers}
    return EvalTables(tables, tuple(problems))


def _save_table(report: EvalReport, kind: str, problems: list[str]) -> pd.DataFrame:
    path = report.directory.table_path(kind)
    with locked(report.directory.lock_path):  # two calls at once lose no row of either
        try:
            earlier = read_earlier(path, report)
        except HpcexpError as error:
            earlier = {}
            problems.append(f"{error}; it is made anew, with the runs of this call")
        table = make_eval_table(report, kind, earlier=earlier)
        with using_fonts_for(collect_text(report.plan, make_group_axis(report.plan.groups))):
            drawing = draw_eval(report, table, kind=kind)
            if drawing is None:
                write_text(path, table.to_csv(index=False))
            else:
                save_drawing(drawing, plots_dir=report.directory.path)
    return table
