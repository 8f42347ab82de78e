"""Finding experiments: by hyperparameters, tags, dates and states, without loading a run.

Two or three files of each experiment are read: its plan, the summary of its runs, and its notes.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.conditions import MISSING, Condition, list_names, look_up
from hpcexp.store.experiment import Plan, PlannedGroup, read_plan, read_run_config
from hpcexp.store.find import list_archived, list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.gather import Writings, read_writings
from hpcexp.store.notebook.names import read_launch_day
from hpcexp.store.notebook.notes import Note, read_notes
from hpcexp.store.notebook.tags import MEETING
from hpcexp.store.status import State
from hpcexp.store.statuses import rebuild_summary
from hpcexp.store.summary import read_summary

_NUM_THREADS = 8  # hide the latency of a network file system
_NUM_SUGGESTED = 3
_STATES = {state.value: state for state in State}


@dataclass(frozen=True)
class Entry:
    """An experiment as a list shows it.

    `states` counts runs by the state that was written last; only `hpcexp status` asks the
    scheduler. `matching_groups` are those that meet the conditions: all where there are none.
    `problems` names notes that cannot be read.
    """

    experiment: ExperimentDir
    plan: Plan
    states: Counter[State]
    notes: Sequence[Note]
    matching_groups: Sequence[str]
    problems: Sequence[str] = ()

    @property
    def launched(self) -> date | None:
        """The day of its launch, which its name begins with."""
        return read_launch_day(self.experiment.name)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of all that was written about it."""
        return tuple(dict.fromkeys(tag for note in self.notes for tag in note.tags))


@dataclass(frozen=True)
class Query:
    """What to look for; experiments must meet all of it, and one group all conditions.

    `text` is part of a name. `states`: a run is in one of them. `tags`: has all of them.
    """

    text: str = ""
    conditions: Sequence[Condition] = ()
    tags: Sequence[str] = ()
    states: Sequence[State] = ()
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class Catalogue:
    """The experiments that were found, newest first, and what could not be read."""

    entries: tuple[Entry, ...]
    num_searched: int
    problems: tuple[str, ...]


def search(experiments_dir: Path, query: Query) -> Catalogue:
    """The experiments of a directory that meet a query; of archived ones little is unpacked.

    Raises UsageError for a hyperparameter that no experiment has.
    """
    experiments = [*list_experiments(experiments_dir), *list_archived(experiments_dir)]
    experiments.sort(key=lambda e: e.name, reverse=True)
    named = [e for e in experiments if query.text in e.name and _is_in_time(e, query)]
    writings = read_writings(experiments_dir)
    names = _Names()
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        read = partial(_try_entry, query=query, writings=writings, names=names)
        found = list(pool.map(read, named))
    if named:
        _check_names(query.conditions, names)
    entries = tuple(entry for entry in found if isinstance(entry, Entry))
    problems = [text for text in found if isinstance(text, str)]
    problems += [text for entry in entries for text in entry.problems]
    return Catalogue(entries, len(experiments), (*problems, *writings.problems))


def list_tags(experiments_dir: Path) -> list[str]:
    """All tags of notes and imported notebooks, and the one of meetings, in order."""
    writings = read_writings(experiments_dir)
    tags = {MEETING, *(tag for notes in writings.remarks.values() for n in notes for tag in n.tags)}
    for experiment in list_experiments(experiments_dir):
        tags.update(tag for note in read_notes(experiment).notes for tag in note.tags)
    return sorted(tags)


def _is_in_time(experiment: ExperimentDir, query: Query) -> bool:
    if query.since is None and query.until is None:
        return True
    day = read_launch_day(experiment.name)
    if day is None:  # a directory that somebody has renamed: it is shown rather than hidden
        return True
    return (query.since or day) <= day <= (query.until or day)


def _try_entry(
    experiment: ExperimentDir, *, query: Query, writings: Writings, names: _Names
) -> Entry | str | None:
    """The entry, None where it does not meet the query, or why it cannot be read."""
    try:
        return _read_entry(experiment, query=query, writings=writings, names=names)
    except HpcexpError as error:
        return str(error)


def _read_entry(
    experiment: ExperimentDir, *, query: Query, writings: Writings, names: _Names
) -> Entry | None:
    if experiment.archive is not None:
        from hpcexp.store.archive.contents import LISTED
        from hpcexp.store.archive.opening import open_archive

        experiment = open_archive(experiment.archive, parts=LISTED)
    plan = read_plan(experiment)
    groups = find_groups(experiment, plan, query.conditions, names=names)
    if not groups:
        return None
    notes = writings.about(experiment)
    states = count_states(experiment, plan)
    entry = Entry(experiment, plan, states, notes.notes, groups, notes.problems)
    has_tags = all(tag in entry.tags for tag in query.tags)
    has_state = not query.states or any(entry.states.get(state) for state in query.states)
    return entry if has_tags and has_state else None


def count_states(experiment: ExperimentDir, plan: Plan) -> Counter[State]:
    """Runs by the state that was written last."""
    names = [run.name for run in plan.runs]
    summary = read_summary(experiment)
    if summary is None:
        return Counter(s.state for s in rebuild_summary(experiment, names).values())
    written = (summary.get(name, {}).get("state", State.PENDING) for name in names)
    return Counter(_STATES.get(state, State.LOST) for state in written)


def find_groups(
    experiment: ExperimentDir,
    plan: Plan,
    conditions: Sequence[Condition],
    *,
    names: _Names | None = None,
) -> tuple[str, ...]:
    """The groups that meet all conditions."""
    if not conditions:
        return tuple(group.name for group in plan.groups)
    params = _LazyParams(experiment, plan)
    met = []
    for group in plan.groups:
        values = [params.find(group, condition.name) for condition in conditions]
        if names is not None:
            names.note(conditions, values, params)
        pairs = zip(conditions, values, strict=True)
        if all(value is not MISSING and condition.holds(value) for condition, value in pairs):
            met.append(group.name)
    return tuple(met)


@dataclass
class _Names:
    """The hyperparameters of conditions that some experiment has, and what others there are."""

    found: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def note(
        self, conditions: Sequence[Condition], values: Sequence[Any], params: _LazyParams
    ) -> None:
        """Remember what an experiment has; all of its names only where one was not found."""
        pairs = zip(conditions, values, strict=True)
        self.found.update(c.name for c, value in pairs if value is not MISSING)
        if any(value is MISSING for value in values):
            self.others.update(list_names(params.shared))


@dataclass(frozen=True)
class _LazyParams:
    """The hyperparameters of an experiment; most are found in its plan, without another file."""

    experiment: ExperimentDir
    plan: Plan

    @cached_property
    def shared(self) -> Mapping[str, Any]:
        """All those of the first run: what does not vary is the same in all."""
        runs = self.plan.runs
        return read_run_config(self.experiment.run(runs[0].name)).params if runs else {}

    def find(self, group: PlannedGroup, name: str) -> Any:
        """The value that a group has, or MISSING."""
        varied = _look_up_varied(group.values, name)
        return look_up(self.shared, name) if varied is MISSING else varied


def _look_up_varied(values: Mapping[str, Any], name: str) -> Any:
    """Of a group's values, which may hold `symmetry` as a whole where `symmetry.K` is asked."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        prefix = ".".join(parts[:end])
        if prefix in values:
            rest = ".".join(parts[end:])
            return look_up(values[prefix], rest) if rest else values[prefix]
    return MISSING


def _check_names(conditions: Iterable[Condition], names: _Names) -> None:
    for condition in conditions:
        if condition.name not in names.found:
            near = difflib.get_close_matches(condition.name, sorted(names.others), n=_NUM_SUGGESTED)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"no experiment has a hyperparameter {condition.name!r}{hint}")
