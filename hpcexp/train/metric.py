"""What the analysis must know of a metric to draw and to judge it. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric that is reported: where smaller is better, unless said otherwise.

    A run whose final value is below `success_below` counts as a success.
    `cap`: values beyond it carry no meaning; figures cut the axis there and say so.
    """

    name: str
    title: str
    success_below: float | None = None
    cap: float | None = None
    success_title: str = "success"
