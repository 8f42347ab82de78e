"""What trackers did not get, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.tracking import list_trackers, read_tracked


def describe_tracking(experiment: ExperimentDir, names: Sequence[str]) -> Iterator[str]:
    """A line for each tracker that lacks rows of some runs, with what to do about it."""
    for kind in list_trackers(experiment):
        found = [read_tracked(experiment.run(name), kind) for name in names]
        lacking = [tracked for tracked in found if tracked.problem or tracked.num_lost]
        if not lacking:
            continue
        runs = "1 run" if len(lacking) == 1 else f"{len(lacking)} runs"
        problems = [tracked.problem for tracked in lacking if tracked.problem]
        why = f": {problems[0]}" if problems else " that its process was killed over"
        yield f"! {kind} lacks rows of {runs}{why}"
        yield f"    -> hpcexp export {experiment.name} --to {kind}    (writes all of them)"
