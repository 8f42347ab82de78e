"""Which runs a command is about: by name, by group, by pattern, by state, or all."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from hpcexp.errors import UsageError
from hpcexp.launch.observe import Observation
from hpcexp.store.status import State


def select_runs(
    observation: Observation, names: Sequence[str], *, states: Sequence[State] = ()
) -> list[str]:
    """Runs by their names, their group's, or a pattern such as `*_rand_0`; all where none is named.

    With `states` only those in one of them. Raises UsageError for a name that is none.
    """
    chosen = _select_named(observation, names) if names else list(observation.statuses)
    return [n for n in chosen if not states or observation.statuses[n].state in states]


def _select_named(observation: Observation, names: Sequence[str]) -> list[str]:
    members: dict[str, list[str]] = {run.name: [run.name] for run in observation.plan.runs}
    for run in observation.plan.runs:
        members.setdefault(run.group, []).append(run.name)
    chosen: list[str] = []
    for name in names:
        matching = [name] if name in members else [m for m in members if fnmatchcase(m, name)]
        if not matching:
            raise UsageError(_describe_unknown(name, list(members), observation))
        chosen += [run for match in matching for run in members[match]]
    return list(dict.fromkeys(chosen))


def _describe_unknown(name: str, known: Sequence[str], observation: Observation) -> str:
    if any(character in name for character in "*?["):
        return f"{observation.experiment.name} has no run or group that matches {name!r}"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"for instance {known[0]}"
    return f"{observation.experiment.name} has no run or group {name!r}; {hint}"
