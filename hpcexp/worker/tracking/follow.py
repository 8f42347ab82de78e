"""Following one run for one tracker: what its metrics file gained is handed on.

The file is the truth, and is written whether anybody follows or not: nothing waits in memory,
and what a tracker refuses today it can be given later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, read_run_config
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import MetricsTable, read_metrics
from hpcexp.store.status import FINISHED, RunStatus, read_status
from hpcexp.store.tracking import Tracked, read_tracked, write_tracked
from hpcexp.worker.tracking.rows import flatten, iter_points
from hpcexp.worker.tracking.tracker import TrackedRun, Tracker

MakeTracker = Callable[[TrackedRun, Mapping[str, Any]], Tracker]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 300.0


class Follower:
    """Keeps a tracker up to date with one run; to be called by one process at a time."""

    def __init__(
        self,
        run_dir: RunDir,
        plan: Plan,
        *,
        kind: str,
        make: MakeTracker,
        options: Mapping[str, Any],
    ) -> None:
        self.run_dir, self.plan, self.kind = run_dir, plan, kind
        self.make, self.options = make, options
        self.tracked = read_tracked(run_dir, kind)
        self.tracker: Tracker | None = None
        self.table: MetricsTable | None = None
        self.pause_s = self.not_before = 0.0

    def follow(self, *, is_last: bool = False) -> None:
        """Hand on what is new. What goes wrong is written down, and tried again later.

        `is_last`: now, and close the tracker.
        """
        if not is_last and time.monotonic() < self.not_before:
            return
        try:
            status, table = read_status(self.run_dir), read_metrics(self.run_dir.path)
        except (HpcexpError, OSError):
            return  # a file system that is away for a moment: the run itself says so
        try:
            self._forget(status, table)
            self._hand_on(status, table)
            self.pause_s = 0.0
            if is_last:
                self._close(status)
        except Exception as error:  # of any package: none may end the others
            self._note_failure(error, table, is_last=is_last)

    def _forget(self, status: RunStatus, table: MetricsTable) -> None:
        """Take back, where that can be done, what the run took back."""
        kept_step = min(self.tracked.step, self._find_kept_step(status, table))
        # A process was killed while it handed rows on: nobody knows which arrived.
        is_unsure = self.tracked.claimed_step > self.tracked.step
        if kept_step < self.tracked.step or is_unsure:
            tracker = self._open(status)
            if tracker.can_rewind:
                tracker.rewind(step=kept_step)
                num_rows = _count(table, -1, kept_step)
                self._note(step=kept_step, claimed_step=kept_step, num_rows=num_rows)
            elif is_unsure:
                unknown = _count(table, self.tracked.step, self.tracked.claimed_step)
                num_lost = self.tracked.num_lost + unknown
                self._note(step=self.tracked.claimed_step, num_lost=num_lost)
        self.table = table

    def _find_kept_step(self, status: RunStatus, table: MetricsTable) -> int:
        """Up to here, what was handed on is what the table has."""
        if self.table is None:
            is_new = status.attempt > self.tracked.attempt > 0
            return min(self.tracked.step, status.begun_step) if is_new else self.tracked.step
        before, length = self.table, min(len(self.table), len(table))
        differs = np.flatnonzero(
            (before.step[:length] != table.step[:length])
            | (before.time[:length] != table.time[:length])
        )
        first = int(differs[0]) if len(differs) else length
        if first == len(before):
            return self.tracked.step
        return int(before.step[first]) - 1

    def _hand_on(self, status: RunStatus, table: MetricsTable) -> None:
        if len(table) == 0:
            return
        last_step = int(table.step.max())
        if last_step <= self.tracked.step:
            return
        tracker = self._open(status)
        points = list(iter_points(table, after=self.tracked.step))
        # Written down before: who is killed on the way hands on nothing twice.
        self._note(claimed_step=last_step, attempt=status.attempt, id=tracker.id)
        tracker.log(points)
        self._note(step=last_step, num_rows=self.tracked.num_rows + len(points), problem="")

    def _open(self, status: RunStatus) -> Tracker:
        if self.tracker is None:
            config = read_run_config(self.run_dir)
            experiment = self.run_dir.experiment
            run = TrackedRun(
                name=self.run_dir.name,
                group=config.group,
                rand_init=config.rand_init,
                params=dict(flatten(config.params)),
                experiment=experiment.name,
                project=self.plan.name,
                directory=experiment.tracking_dir(self.kind),
                id=self.tracked.id,
                step=self.tracked.step,
            )
            self.tracker = self.make(run, self.options)
            self._note(id=self.tracker.id, attempt=status.attempt)
        return self.tracker

    def _close(self, status: RunStatus) -> None:
        if self.tracker is not None:
            tracker, self.tracker = self.tracker, None
            tracker.end(state=status.state.value, is_finished=status.state in FINISHED)

    def _note(self, **changes: Any) -> None:
        self.tracked = self.tracked.replace(**changes)
        write_tracked(self.run_dir, self.kind, self.tracked)

    def _note_failure(self, error: Exception, table: MetricsTable, *, is_last: bool) -> None:
        self.pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self.pause_s))
        self.not_before = time.monotonic() + self.pause_s
        words = str(error).strip().splitlines() or [""]
        problem = f"{type(error).__name__}: {words[0]:.200}"
        if isinstance(error, HpcexpError):
            problem = words[0]
        is_news = problem != self.tracked.problem
        # Those that can take rows back do so first: part of the rows may have been written.
        can_rewind = self.tracker is not None and self.tracker.can_rewind
        claimed_step = self.tracked.claimed_step if can_rewind else self.tracked.step
        try:
            self._note(problem=problem, claimed_step=claimed_step)
            if is_news or is_last:
                missing = count_missing(self.tracked, table)
                self._tell(f"{self.kind} lacks {missing} rows of this run: {problem}")
        except OSError:
            return

    def _tell(self, text: str) -> None:
        """A line in the log of the run's attempt, which its own process writes to as well."""
        path = self.run_dir.log_path(max(1, self.tracked.attempt))
        if path.exists():
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} tracking: {text}\n")


def _count(table: MetricsTable, after: int, until: int) -> int:
    return int(((table.step > after) & (table.step <= until)).sum())


def count_missing(tracked: Tracked, table: MetricsTable) -> int:
    """Rows of a run that its tracker does not have."""
    return tracked.num_lost + int((table.step > tracked.step).sum())
