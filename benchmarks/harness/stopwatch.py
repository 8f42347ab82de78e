"""How many steps runs take in some seconds, told by what they ask their sinks between steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.harness.turns import synchronise
from hpcexp.train.fit import Training
from hpcexp.train.sink import MemorySink

WARM_UP_STEPS = 2
MIN_STEPS = 2


class Stopwatch:
    """Counts the steps of runs, after a few of each to warm up; then they are to stop.

    `begin` is called when the clock starts. `rate` is steps of all runs in a second.
    """

    def __init__(self, seconds: float, *, begin: Callable[[], object] = lambda: None) -> None:
        self.seconds, self.begin = seconds, begin
        self.trainings: list[Training] = []
        self.begun: float | None = None
        self.begun_at = 0
        self.rate = 0.0

    def is_over(self) -> bool:
        """Asked by every run between its steps."""
        if self.rate:
            return True
        total = sum(training.step for training in self.trainings)
        if self.begun is None:
            if total >= WARM_UP_STEPS * len(self.trainings):
                synchronise()
                self.begin()
                self.begun, self.begun_at = time.perf_counter(), total
            return False
        num_steps = total - self.begun_at
        too_few = num_steps < MIN_STEPS * len(self.trainings)
        if too_few or time.perf_counter() - self.begun < self.seconds:
            return False
        synchronise()
        self.rate = num_steps / (time.perf_counter() - self.begun)
        return True


class StopwatchSink(MemorySink):
    """Interrupts its run when the time is over."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self.watch = watch

    def interruption(self) -> str | None:
        """Asked between steps."""
        return "enough" if self.watch.is_over() else None
