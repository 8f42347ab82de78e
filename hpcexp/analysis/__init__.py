"""From an experiment directory to tidy frames, numbers and figures.

    from hpcexp.analysis import load
    results = load("latest")        # also while it trains
    results.runs, results.metrics

Columns, metrics and what the numbers mean: docs/metrics.md. Imports pandas: the command
line imports this package inside its handlers only.
"""

from hpcexp.analysis.frames import Results, load

__all__ = ["Results", "load"]
