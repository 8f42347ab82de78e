"""Statistics of few runs: numbers in, numbers out. No files, no frames, no drawing.

Smaller values are better throughout. A diverged run is an outcome, the worst of all: its value
is `inf`, and two diverged runs are a tie. NaN is no value: a run without an outcome is left out
by the caller.

`ranks` and `paired` test, `several` looks at more than two groups, `intervals`, `proportions`
and `effects` estimate, `modality` recognises more than one kind of outcome, `power` says how
many runs would decide, `sequential` plans several looks, `verdicts` puts a comparison into one
of four words. What each promises is measured by benchmarks/error_rates.py; the results are in
docs/results/statistics.md.
"""
