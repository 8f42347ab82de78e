"""From reports to rows of metrics, progress, and what follows from them."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hpcexp.store.metrics import SPLITS, MetricsTable, read_metrics
from hpcexp.train.control import Controller
from hpcexp.train.seeds import derive_seed
from hpcexp.train.sink import Progress, Row
from hpcexp.worker.own_loop.reports import Report
from hpcexp.worker.patience import Patience
from hpcexp.worker.sink import RunDirSink
from hpcexp.workloads.own_loop.config import OwnLoopConfig

logger = logging.getLogger("hpcexp.worker")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Streams:
    """What the random numbers of a run are made of: as `train.seeding`, without torch."""

    seed: int
    rand_init: int

    def draw_audit(self, index: int) -> float:
        """A number from 0 to 1 for a rule that foretells failures."""
        return derive_seed(self.seed, self.rand_init, "audit", index, 0) / 2**63


class _Reported(dict[str, float]):
    """Values of one report: what it says nothing of is NaN, which fulfils no rule."""

    def __missing__(self, name: str) -> float:
        return math.nan


class Records:
    """The rows of a run, over all its attempts, and where it is.

    An attempt goes on from wherever the training's own checkpoint is: its first report says
    where, and rows from there on that an earlier attempt left are replaced.
    """

    def __init__(
        self, sink: RunDirSink, config: OwnLoopConfig, patience: Patience, *, streams: Streams
    ) -> None:
        self.sink, self.config, self.patience, self.streams = sink, config, patience, streams
        self.trained_before_s = sink.status.trained_s
        self.has_reported = False
        self._do(lambda: sink.start((), resume_step=sys.maxsize))
        self._take_up(read_metrics(sink.run_dir.path))

    def _take_up(self, table: MetricsTable) -> None:
        """Know what the rows on disk say, and nothing else."""
        self.epoch = self.step = 0
        self.divergence = ""
        self.names: dict[str, None] = {}  # of all metrics of split validate
        self.recorded = dict.fromkeys(SPLITS, -1)  # the last step of each split
        self.controller = Controller(
            self.config, clock=time.monotonic, draw=self.streams.draw_audit
        )
        self.controller.trained_before_s = self.trained_before_s
        for position in range(len(table)):
            row = table.row(position)
            values = _Reported({n: v for n, v in row.values.items() if not math.isnan(v)})
            self._note(Row(row.epoch, row.step, row.split, values))

    def add(self, reports: Sequence[Report]) -> None:
        """Record reports of this attempt."""
        if not reports:
            return
        if not self.has_reported:
            self.has_reported = True
            self._rewind(self._place(reports[0])[1])
        self._record(reports)

    def add_late(self, reports: Sequence[Report]) -> None:
        """Record what an earlier attempt reported when its worker was dead already."""
        self._record([r for r in reports if self._place(r)[1] > self.recorded[r.split]])

    def show_progress(self) -> None:
        """Renew status and heartbeat where that is due, without a new row."""
        self._do(lambda: self.sink.record((), self.progress))

    @property
    def progress(self) -> Progress:
        """Where the training is."""
        return Progress(
            self.epoch,
            self.config.num_epochs,
            self.step,
            self._count_steps(),
            foretold=self.controller.foretold,
        )

    @property
    def has_reached_budget(self) -> bool:
        """Whether the whole budget, where there is one, was reported."""
        if self.config.max_step is not None:
            return self.step >= self.config.max_step
        return self.config.max_epoch is not None and self.epoch >= self.config.max_epoch

    def _count_steps(self) -> int:
        """Steps of the whole run; of a budget in epochs, by the steps of the epochs so far."""
        if self.config.max_step is None and self.config.max_epoch and self.epoch:
            return max(self.step, round(self.step / self.epoch * self.config.max_epoch))
        return self.config.num_steps

    def _record(self, reports: Sequence[Report]) -> None:
        rows = []
        for report in reports:
            epoch, step = self._place(report)
            rows.append(Row(epoch, step, report.split, _Reported(report.values)))
            self._note(rows[-1])
            if self.divergence:
                break
        if rows:
            self._widen([name for row in rows for name in row.values])
            self._do(
                lambda: self.sink.record(rows, self.progress),
                again=lambda: self.sink.record((), self.progress),
            )

    def _place(self, report: Report) -> tuple[int, int]:
        """Epoch and step; of one that is not reported, as far as the other tells it."""
        if report.step is None:
            assert report.epoch is not None
            return report.epoch, report.epoch
        if report.epoch is None:
            return (self.epoch if self.config.max_epoch else report.step), report.step
        return report.epoch, report.step

    def _note(self, row: Row) -> None:
        self.epoch, self.step = max(self.epoch, row.epoch), max(self.step, row.step)
        self.recorded[row.split] = max(self.recorded[row.split], row.step)
        if row.split == "validate":
            self.names.update(dict.fromkeys(row.values))
        self._find_divergence(row)
        self.controller.observe([row])

    def _find_divergence(self, row: Row) -> None:
        if self.config.on_nan != "stop" or self.divergence:
            return
        for name, value in row.values.items():
            if not math.isfinite(value):
                became = "NaN" if math.isnan(value) else "infinite"
                self.divergence = (
                    f"{name} ({row.split}) became {became} at epoch {row.epoch}, step {row.step}"
                )
                return

    def _rewind(self, step: int) -> None:
        """Drop rows from a step on: this attempt reports them anew."""
        if step > max(self.recorded.values()):
            return
        writer = self.sink.writer
        assert writer is not None

        def rewind() -> None:
            with self.sink.ownership.writing():
                writer.rewind(step=step - 1)

        logger.info("reports begin again at step %d: later rows are replaced", step)
        self._do(rewind)
        self._take_up(read_metrics(self.sink.run_dir.path))

    def _widen(self, names: Sequence[str]) -> None:
        writer = self.sink.writer
        assert writer is not None
        if set(names) <= set(writer.columns):
            return

        def widen() -> None:
            with self.sink.ownership.writing():
                writer.widen(list(dict.fromkeys(names)))

        self._do(widen)

    def _do(self, action: Callable[[], _T], *, again: Callable[[], _T] | None = None) -> _T:
        return self.patience(action, again=again, check=self.sink.ownership.check)
