"""A report as one HTML file that needs no network and opens from the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from hpcexp.analysis.lab_notebook.diary import nest_text
from hpcexp.analysis.report.content import Report
from hpcexp.analysis.spelling import spell_hours

SCRIPTS = ("svg.js", "tooltip.js", "boxplot.js", "rates.js", "curves.js", "page.js")
STYLES = ("base.css", "report.css")
VERDICT_SIGNS = {
    "looks": "◔",
    "foretold": "⊣",
    "supported": "✓",
    "suggestive": "≈",
    "equivalent": "=",
    "inconclusive": "?",
    "best": "★",
    "anew": "↻",
    "also": "+",
    "bimodal": "⋔",
    "unknown": "–",
    "warning": "!",
}
_OWN = "hpcexp.analysis.report"


def render_report(report: Report) -> str:
    """The page, as text."""
    template = _make_environment().get_template("report.html.j2")
    return template.render(
        report=report,
        results=report.results,
        plan=report.results.plan,
        metric=report.results.metric,
        axis=report.results.group_axis,
        signs=VERDICT_SIGNS,
        css="\n".join(_read(name) for name in STYLES),
        js="\n".join(_read(name) for name in SCRIPTS),
        data=encode_data(report.data),
    )


def encode_data(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: no text in it can end that element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _read(name: str) -> str:
    environment = _make_environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@cache
def _make_environment() -> Environment:
    """Everything that people wrote is escaped; styles and notes are shared with the notebook."""
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader(_OWN, package_path="page"),
                PackageLoader("hpcexp.analysis.lab_notebook"),
            ]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["nest"] = nest_text
    environment.filters["hours"] = spell_hours
    return environment
