"""Which run a replay means."""

from __future__ import annotations

from hpcexp.errors import UsageError
from hpcexp.launch.observe import observe
from hpcexp.launch.selection import select_runs
from hpcexp.store.layout import ExperimentDir

MAX_LISTED = 5


def choose_recorded(experiment: ExperimentDir, name: str | None) -> str:
    """The run that was named, or the only one of a group, or of all, with a recorded step.

    Raises UsageError where there is none, or several.
    """
    from hpcexp.worker.replay import list_recorded

    named = select_runs(observe(experiment), [name] if name else [])
    if len(named) == 1:
        return named[0]
    recorded = list_recorded([experiment.run(each) for each in named])
    if len(recorded) == 1:
        return recorded[0]
    whose = f"of {name}" if name else f"of {experiment.name}"
    if not recorded:
        raise UsageError(f"no run {whose} has diverged: there is nothing to replay")
    listed = ", ".join(recorded[:MAX_LISTED])
    more = f" and {len(recorded) - MAX_LISTED} more" if len(recorded) > MAX_LISTED else ""
    raise UsageError(f"{len(recorded)} runs {whose} have diverged; name one of {listed}{more}")
