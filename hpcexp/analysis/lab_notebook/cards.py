"""What a notebook and a slide say of an experiment: question, outcome, notes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hpcexp.analysis.groups import make_group_axis
from hpcexp.analysis.lab_notebook.verdicts import read_verdicts
from hpcexp.analysis.spelling import spell_number
from hpcexp.store.catalogue import Entry
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.names import read_launch_day
from hpcexp.store.notebook.notes import Note
from hpcexp.store.status import FINISHED, RunStatus, State
from hpcexp.store.statuses import read_written
from hpcexp.train.metric import Metric

MAX_GROUPS = 12


@dataclass(frozen=True)
class GroupResult:
    """A group: finished runs, and the median of the primary metric over them, as text."""

    label: str
    n: int
    median: str


@dataclass(frozen=True)
class Card:
    """An experiment. One that is only named in an imported notebook has no `experiment`.

    `verdicts` are None where the statistics have none yet. `num_more_groups` are not in
    `results`.
    """

    name: str
    experiment: ExperimentDir | None
    question: str
    setting: str
    states: str
    axis: str
    metric: str
    results: tuple[GroupResult, ...]
    num_more_groups: int
    verdicts: tuple[str, ...] | None
    notes: tuple[Note, ...]
    is_settled: bool

    @property
    def launched(self) -> date | None:
        """The day of its launch."""
        return read_launch_day(self.name)

    @property
    def short_name(self) -> str:
        """The name that the template gave it."""
        return ExperimentDir(self.experiment.path).short_name if self.experiment else self.name[22:]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of its notes."""
        return tuple(dict.fromkeys(tag for note in self.notes for tag in note.tags))


def make_card(entry: Entry) -> Card:
    """Read what a card says; of runs only their summary.

    Raises HpcexpError where the statuses cannot be read.
    """
    plan, experiment = entry.plan, entry.experiment
    metric = Metric(**plan.primary_metric)
    statuses = read_written(experiment, [run.name for run in plan.runs])
    axis = make_group_axis(plan.groups)
    results = [
        _summarise(label, [statuses[r.name] for r in plan.runs if r.group == name], metric)
        for name, label in zip(axis.names, axis.labels, strict=True)
    ]
    groups = "1 group" if len(plan.groups) == 1 else f"{len(plan.groups)} groups"
    return Card(
        name=experiment.name,
        experiment=experiment,
        question=plan.question,
        setting=f"{groups}, {len(plan.runs)} runs of {plan.workload}",
        states=", ".join(f"{count} {state.words}" for state, count in entry.states.most_common()),
        axis=axis.title,
        metric=metric.title,
        results=tuple(results[:MAX_GROUPS]) if any(r.n for r in results) else (),
        num_more_groups=max(0, len(results) - MAX_GROUPS),
        verdicts=read_verdicts(experiment),
        notes=tuple(entry.notes),
        is_settled=all(status.state in FINISHED for status in statuses.values()),
    )


def make_absent_card(name: str, notes: Sequence[Note]) -> Card:
    """An experiment that is only known from an imported notebook."""
    return Card(
        name=name,
        experiment=None,
        question="",
        setting="",
        states="",
        axis="",
        metric="",
        results=(),
        num_more_groups=0,
        verdicts=None,
        notes=tuple(notes),
        is_settled=True,
    )


def _summarise(label: str, statuses: Sequence[RunStatus], metric: Metric) -> GroupResult:
    """The median by rank: a diverged run, or a value that is not finite, is the worst."""
    values = [value for s in statuses if (value := _read_final(s, metric.name)) is not None]
    if not values:
        return GroupResult(label, 0, "-")
    return GroupResult(label, len(values), spell_number(statistics.median(values)))


def _read_final(status: RunStatus, name: str) -> float | None:
    """The final value; None where there is none (yet)."""
    if status.state == State.DIVERGED:
        return math.inf
    if status.state not in FINISHED or name not in status.metrics:
        return None
    value = status.metrics[name]
    return math.inf if value is None else value
