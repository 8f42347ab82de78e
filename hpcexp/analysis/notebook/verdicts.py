"""What the statistics conclude of an experiment, as the notebook shows it."""

from __future__ import annotations

from hpcexp.store.layout import ExperimentDir


def read_verdicts(experiment: ExperimentDir) -> tuple[str, ...] | None:
    """Sentences such as `supported: 16 and 32 are lower than 128 (p = 0.013)`; None without any.

    They are read, not computed: a notebook of a thousand experiments must not test them all.
    """
    del experiment
    return None
