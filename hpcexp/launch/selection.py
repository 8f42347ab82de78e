"""Which runs a command is about: by name, by group, or all."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from hpcexp.errors import UsageError
from hpcexp.launch.observe import Observation


def select_runs(observation: Observation, names: Sequence[str]) -> list[str]:
    """Runs by their names or their group's; all where none is named.

    Raises UsageError for a name that is neither.
    """
    if not names:
        return list(observation.statuses)
    members: dict[str, list[str]] = {run.name: [run.name] for run in observation.plan.runs}
    for run in observation.plan.runs:
        members.setdefault(run.group, []).append(run.name)
    unknown = [name for name in names if name not in members]
    if unknown:
        raise UsageError(_describe_unknown(unknown[0], list(members), observation))
    return list(dict.fromkeys(run for name in names for run in members[name]))


def _describe_unknown(name: str, known: Sequence[str], observation: Observation) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"for instance {known[0]}"
    return f"{observation.experiment.name} has no run or group {name!r}; {hint}"
