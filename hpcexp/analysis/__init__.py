"""From an experiment directory to tidy frames, numbers and figures.

    from hpcexp.analysis import load
    results = load("latest")        # also while it trains
    results.runs, results.metrics

Columns, metrics and what the numbers mean: docs/metrics.md. Reading imports pandas: the command
line does it inside its handlers only, and what it asks before a launch (`design`) needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results, load

__all__ = ["Results", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from hpcexp.analysis import frames

        return getattr(frames, name)
    raise AttributeError(f"module 'hpcexp.analysis' has no attribute {name!r}")
