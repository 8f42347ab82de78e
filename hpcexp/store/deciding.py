"""`deciding.json`: how an experiment is to be decided by several looks, and what they found.

The plan is written before the first added run, and never changes. Each look is added to it in
one replacement of the file, before anything follows from it; what is to be done next is told by
this file, the plan of the experiment and the runs' statuses alone. It is written under the
submission lock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.files import build_record, read_json, write_json
from hpcexp.store.follow_up import FollowUpJob
from hpcexp.store.layout import ExperimentDir

FORMAT = 1
Pair = tuple[str, str]


class Standing(StrEnum):
    """Where a pair stands after a look."""

    OPEN = "open"
    DIFFERENT = "different"
    EQUIVALENT = "equivalent"
    FUTILE = "futile"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class DecidingPlan:
    """When to look, at which pairs, by which rule.

    `looks` are initialisations per group, rising: look k is at the first so many of each group.
    `alpha` is the level of the family of `pairs`; `margin` is the largest difference that does
    not matter, None where the template names none.
    """

    created: str
    command: str
    user: str
    metric: str
    family: str
    pairs: tuple[Pair, ...]
    looks: tuple[int, ...]
    alpha: float
    spending: str
    futility: float
    margin: float | None

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that any pair is about."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair))


@dataclass(frozen=True)
class PairStanding:
    """What the newest look at a pair said; `level` is what `p` was held against.

    `look` counts from 1. `conditional_power` is the chance to find the pair different at the
    last look if things go on as they have begun.
    """

    first: str
    second: str
    standing: Standing
    look: int
    num_runs: tuple[int, int]
    p: float
    level: float
    conditional_power: float

    @property
    def pair(self) -> Pair:
        """Both names, as in the plan."""
        return self.first, self.second


@dataclass(frozen=True)
class Look:
    """One look: the standings of the pairs that were open before it. `number` counts from 1."""

    number: int
    taken: str
    rand_inits: int
    pairs: tuple[PairStanding, ...]


@dataclass(frozen=True, kw_only=True)
class LookJob(FollowUpJob):
    """The job that takes look number `look`."""

    look: int


@dataclass(frozen=True)
class Deciding:
    """The plan and how far it is. `left_out` are runs that somebody gave up, and when."""

    plan: DecidingPlan
    looks: tuple[Look, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    job: LookJob | None = None

    @property
    def standings(self) -> dict[Pair, PairStanding]:
        """What the newest look at each pair said; without pairs that none was taken at."""
        return {found.pair: found for look in self.looks for found in look.pairs}

    @property
    def open_pairs(self) -> tuple[Pair, ...]:
        """Pairs at which more looks are to be taken."""
        found = self.standings
        return tuple(
            pair
            for pair in self.plan.pairs
            if pair not in found or found[pair].standing == Standing.OPEN
        )

    @property
    def open_groups(self) -> tuple[str, ...]:
        """Groups that get more runs."""
        return tuple(dict.fromkeys(name for pair in self.open_pairs for name in pair))

    @property
    def is_over(self) -> bool:
        """Whether no look is to come."""
        return not self.open_pairs or len(self.looks) == len(self.plan.looks)

    @property
    def next_rand_inits(self) -> int:
        """Initialisations per group that the next look is at; those of the last if it is over."""
        return self.plan.looks[min(len(self.looks), len(self.plan.looks) - 1)]


def read_deciding(experiment: ExperimentDir) -> Deciding | None:
    """The plan of looks; None where there is none.

    Raises HpcexpError where the file is damaged, or of another version of hpcexp.
    """
    path = experiment.deciding_path
    if not path.exists():
        return None
    values = read_json(path)
    version = values.get("format") if isinstance(values, dict) else None
    if version != FORMAT:
        raise HpcexpError(
            f"{path}: format {version} is not known to this version (it reads {FORMAT}): use the "
            "hpcexp that made it, or a newer one"
        )
    try:
        return _build(values, experiment)
    except (KeyError, TypeError, ValueError) as error:
        raise HpcexpError(f"{path}: damaged ({error})") from error


def write_deciding(experiment: ExperimentDir, deciding: Deciding) -> None:
    """Write or replace it, whole; under the submission lock."""
    write_json(experiment.deciding_path, {"format": FORMAT, **dataclasses.asdict(deciding)})


def _build(values: Any, experiment: ExperimentDir) -> Deciding:
    path = experiment.deciding_path
    plan = build_record(values.get("plan"), DecidingPlan, path=path)
    job = values.get("job")
    built = None if job is None else build_record(job, LookJob, path=path)
    return Deciding(
        plan=dataclasses.replace(
            plan,
            pairs=tuple((first, second) for first, second in plan.pairs),
            looks=tuple(plan.looks),
        ),
        looks=tuple(_build_look(look, experiment) for look in values.get("looks", ())),
        left_out=dict(values.get("left_out", {})),
        job=None if built is None else dataclasses.replace(built, after=tuple(built.after)),
    )


def _build_look(values: Any, experiment: ExperimentDir) -> Look:
    path = experiment.deciding_path
    look = build_record(values, Look, path=path)
    pairs = [build_record(pair, PairStanding, path=path) for pair in look.pairs]
    return dataclasses.replace(
        look,
        pairs=tuple(
            dataclasses.replace(
                pair,
                standing=Standing(pair.standing),
                num_runs=(pair.num_runs[0], pair.num_runs[1]),
            )
            for pair in pairs
        ),
    )
