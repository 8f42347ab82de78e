"""What evaluations decide while a run trains: the plateau of the rate, and when to stop.

Both look at rows of epochs that have ended. Their memory is part of the checkpoint, so that a
resumed run decides as an undisturbed one. Without any rule there is nothing to look at, and
the loop asks the device nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from hpcexp.errors import UsageError
from hpcexp.train.rates import PlateauDecay
from hpcexp.train.sink import Foretold, Row
from hpcexp.train.stopping import (
    StopAfterHours,
    StopAtThreshold,
    StopForetold,
    StopOnPlateau,
    StopRule,
)

logger = logging.getLogger("hpcexp.worker")

SECONDS_PER_HOUR = 3600.0


class HasRules(Protocol):
    """The part of a configuration that says when to stop, and how the rate falls."""

    @property
    def stop(self) -> Sequence[StopRule]:
        """Rules that end a run early."""
        ...

    @property
    def lr_schedule(self) -> object:
        """How the learning rate falls."""
        ...


class Controller:
    """Watches rows, and says what they mean for the rate and for the run.

    `draw` gives a number from 0 to 1 for the rule of an index: below its `audit` share, a run
    that the rule foretells to fail is trained on. It must be the same whenever it is asked.
    """

    def __init__(
        self,
        config: HasRules,
        *,
        clock: Callable[[], float],
        draw: Callable[[int], float] = lambda _: 1.0,
    ) -> None:
        self.rules, self.draw = config.stop, draw
        schedule = config.lr_schedule
        self.plateau = schedule if isinstance(schedule, PlateauDecay) else None
        self.clock, self.begun = clock, clock()
        self.lr_factor = 1.0
        self.stop_reason = ""
        self.foretold: Foretold | None = None
        self.rate_memory = _Memory()
        self.memories = [_Memory() for _ in self.rules]
        self.trained_before_s = 0.0
        self.has_clock = any(isinstance(rule, StopAfterHours) for rule in self.rules)

    @property
    def is_active(self) -> bool:
        """Whether rows have to be looked at once an epoch."""
        return bool(self.rules) or self.plateau is not None

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raise UsageError where a rule is about a column that the run does not record."""
        asked = [
            ("stop", rule.metric) for rule in self.rules if not isinstance(rule, StopAfterHours)
        ]
        if self.plateau is not None:
            asked.append(("lr_schedule", self.plateau.metric))
        for where, metric in asked:
            if metric not in columns:
                raise UsageError(
                    f"{where}: no such metric: {metric}; there are: {', '.join(columns)}"
                )

    def observe(self, rows: Iterable[Row]) -> None:
        """Look at the rows of epochs that have ended, in order."""
        for row in rows:
            if row.epoch == 0:
                continue  # nothing has been trained yet
            self._follow_rate(row)
            for index in range(len(self.rules)):
                self.stop_reason = self.stop_reason or self._judge(index, row)

    def pack(self) -> dict[str, Any]:
        """What a checkpoint keeps: numbers and text only."""
        return {
            "lr_factor": self.lr_factor,
            "stop_reason": self.stop_reason,
            "trained_s": self._trained_s() if self.has_clock else 0.0,
            "rate_memory": self.rate_memory.pack(),
            "memories": [memory.pack() for memory in self.memories],
            "foretold": None if self.foretold is None else asdict(self.foretold),
        }

    def unpack(self, packed: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.lr_factor = packed["lr_factor"]
        self.stop_reason = packed.get("stop_reason", "")
        self.trained_before_s = packed["trained_s"]
        self.begun = self.clock()
        self.rate_memory = _Memory(*packed["rate_memory"])
        self.memories = [_Memory(*memory) for memory in packed["memories"]]
        foretold = packed.get("foretold")  # those of older versions have none
        self.foretold = None if foretold is None else Foretold(**foretold)

    def _follow_rate(self, row: Row) -> None:
        plateau = self.plateau
        if plateau is None or row.split != "validate":
            return
        value, memory = row.values[plateau.metric], self.rate_memory
        # The rule of ReduceLROnPlateau, mode min, threshold_mode rel.
        if value < memory.best * (1 - math.copysign(plateau.threshold, memory.best)):
            memory.best, memory.waited = value, 0
            return
        memory.waited += 1
        if memory.waited > plateau.patience:
            self.lr_factor = max(plateau.floor, self.lr_factor * plateau.decrease)
            memory.waited = 0

    def _judge(self, index: int, row: Row) -> str:
        rule, memory = self.rules[index], self.memories[index]
        if isinstance(rule, StopAfterHours):
            return self._judge_time(rule)
        if row.split != rule.split:
            return ""
        if isinstance(rule, StopForetold):
            return self._foretell(index, rule, row)
        value = row.values[rule.metric]
        if isinstance(rule, StopAtThreshold):
            return _judge_threshold(rule, value, row) if row.epoch >= rule.from_epoch else ""
        return _judge_plateau(rule, memory, value, row)

    def _foretell(self, index: int, rule: StopForetold, row: Row) -> str:
        """Once; `waited` holds the epoch at which it was."""
        memory = self.memories[index]
        if memory.waited or row.epoch < rule.epoch:
            return ""
        memory.waited = row.epoch
        value = row.values[rule.metric]
        said = _judge_threshold(rule, value, row)
        if not said:
            return ""
        is_audited = self.draw(index) < rule.audit
        if self.foretold is None or not is_audited:
            self.foretold = Foretold(row.epoch, value, is_audited)
        if is_audited:
            logger.info("foretold to fail: %s; trained on as an audit of the rule", said)
            return ""
        return f"foretold to fail: {said}"

    def _judge_time(self, rule: StopAfterHours) -> str:
        hours = self._trained_s() / SECONDS_PER_HOUR
        return f"it has trained for {rule.hours:g} hours" if hours >= rule.hours else ""

    def _trained_s(self) -> float:
        return self.trained_before_s + self.clock() - self.begun


class _Memory:
    """The best value so far, and for how long there has been no better one."""

    def __init__(self, best: float = math.inf, waited: int = 0) -> None:
        self.best, self.waited = best, waited

    def pack(self) -> list[float | int]:
        return [self.best, self.waited]


def _judge_threshold(rule: StopAtThreshold | StopForetold, value: float, row: Row) -> str:
    said = f"{rule.metric} ({rule.split}) is {value:.4g}"
    if rule.above is not None and value > rule.above:
        return f"{said}, above {rule.above:g}, at epoch {row.epoch}"
    if rule.below is not None and value < rule.below:
        return f"{said}, below {rule.below:g}, at epoch {row.epoch}"
    return ""


def _judge_plateau(rule: StopOnPlateau, memory: _Memory, value: float, row: Row) -> str:
    """`waited` holds the epoch of the best value."""
    if value < memory.best - rule.min_improvement:
        memory.best, memory.waited = value, row.epoch
    since = row.epoch - memory.waited
    if row.epoch < rule.from_epoch or since < rule.patience:
        return ""
    return (
        f"{rule.metric} ({rule.split}) has not fallen below {memory.best:.4g} for {since} epochs, "
        f"at epoch {row.epoch}"
    )
