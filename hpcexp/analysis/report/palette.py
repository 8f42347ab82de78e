"""Colours of groups on a light and on a dark page.

Chosen so that each stands out from its page by 3 : 1 (WCAG 2.1, 1.4.11), and any two of a page
are apart also for readers without red, green or blue cones: found by a search that begins at
usual colours and ends where both hold, which a test computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.colors import to_hex

from hpcexp.analysis.groups import GroupAxis

LIGHT = ("#125cff", "#bd8351", "#0a7f65", "#92232d", "#72669d", "#391932")
DARK = ("#61a2cf", "#d38f26", "#94e886", "#e35e89", "#b45dff", "#dfe0db")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
"""Dash patterns of SVG: they change where the colours have been used up."""

_LIGHT_RANGE, _DARK_RANGE = (0.0, 0.58), (0.35, 1.0)  # of viridis: the other end would fade


@dataclass(frozen=True)
class GroupColour:
    """How one group is drawn."""

    light: str
    dark: str
    dash: str


def choose_group_colours(axis: GroupAxis) -> list[GroupColour]:
    """Along a numeric axis a sequence, else distinct colours."""
    count = len(axis.names)
    if axis.is_numeric and count > 1:
        return [
            GroupColour(_take(_LIGHT_RANGE, i, count), _take(_DARK_RANGE, i, count), "")
            for i in range(count)
        ]
    return [
        GroupColour(
            LIGHT[i % len(LIGHT)], DARK[i % len(DARK)], DASHES[i // len(LIGHT) % len(DASHES)]
        )
        for i in range(count)
    ]


def _take(ends: tuple[float, float], place: int, count: int) -> str:
    low, high = ends
    return to_hex(mpl.colormaps["viridis"](low + (high - low) * place / (count - 1)))
