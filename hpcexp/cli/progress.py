"""Progress of a local pool: bars on a terminal, a line for each end otherwise."""

from __future__ import annotations

import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hpcexp.errors import HpcexpError
from hpcexp.launch.executor import spell_count
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import CUT_SHORT, RunStatus, State, read_status

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PLAIN_EVERY_S = 15.0
WAITING = CUT_SHORT | {State.PENDING, State.SUBMITTED}


class ProgressDisplay:
    """Reads the status files of an experiment's runs and shows how far they are."""

    def __init__(self, experiment: ExperimentDir, console: Console) -> None:
        self.experiment, self.console = experiment, console
        self.names = [run.name for run in read_plan(experiment).runs]
        self.statuses = {name: self._read(name) for name in self.names}
        self.progress: Progress | None = None
        self.bars: dict[str, TaskID] = {}
        self.begun = time.monotonic()
        self.next_plain = time.monotonic() + PLAIN_EVERY_S

    def __enter__(self) -> Self:
        """Show where it happens, then the bars."""
        runs = spell_count(len(self.names), "run")
        self._print(f"{self.experiment.path}/  ({runs})")
        if self.console.is_terminal:
            self.progress = self._make_progress()
            self.total = self.progress.add_task(
                "all runs", total=len(self.names), count="", note=""
            )
            self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state on the screen."""
        self.update()
        if self.progress is not None:
            self.progress.stop()

    def update(self) -> None:
        """Read the runs that have not ended, and show what changed."""
        for name in self.names:
            before = self.statuses[name]
            if before.is_finished:
                continue
            status = self.statuses[name] = self._read(name)
            if status.state != before.state and status.state not in WAITING | {State.RUNNING}:
                self._show_end(name, status)
            elif status.state == State.RUNNING:
                self._show_running(name, status)
        self._show_total()

    def show_interrupt(self, num_jobs: int) -> None:
        """Say what Ctrl-C does, and what a second one would do."""
        jobs = (
            "1 job saves a checkpoint and stops"
            if num_jobs == 1
            else (f"{num_jobs} jobs save a checkpoint and stop")
        )
        self._print(f"  {jobs}; Ctrl-C again kills at once")

    def _print(self, text: str) -> None:
        """Where standard output is on a full disk the line is lost, and the training goes on."""
        with suppress(OSError):
            self.console.print(text, markup=False)

    def _show_end(self, name: str, status: RunStatus) -> None:
        if name in self.bars and self.progress is not None:
            self.progress.remove_task(self.bars.pop(name))
        note = status.reason or describe_metrics(status)
        self._print(
            f"  {status.state.words:<10} {name}   {note}   {format_duration(status.trained_s)}"
        )

    def _show_running(self, name: str, status: RunStatus) -> None:
        if self.progress is None:
            return
        if name not in self.bars:
            self.bars[name] = self.progress.add_task(name, total=None, count="", note="starting")
        self.progress.update(
            self.bars[name],
            total=status.num_steps or None,
            completed=status.step,
            count=f"step {status.step}/{status.num_steps}" if status.num_steps else "",
            note=describe_metrics(status),
        )

    def _show_total(self) -> None:
        ended = sum(s.state not in WAITING | {State.RUNNING} for s in self.statuses.values())
        if self.progress is not None:
            self.progress.update(
                self.total, completed=ended, count=f"{ended}/{len(self.names)} ended"
            )
        elif time.monotonic() >= self.next_plain:
            self.next_plain = time.monotonic() + PLAIN_EVERY_S
            share = sum(s.step / max(s.num_steps, 1) for s in self.statuses.values())
            elapsed = format_duration(time.monotonic() - self.begun)
            percent = 100 * share / len(self.names)
            self._print(f"  {elapsed}: {ended} of {len(self.names)} runs, {percent:.0f} %")

    def _read(self, name: str) -> RunStatus:
        try:
            return read_status(self.experiment.run(name))
        except HpcexpError:
            return RunStatus(state=State.LOST)

    def _make_progress(self) -> Progress:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        return Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", justify="right"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
        )


def describe_metrics(status: RunStatus) -> str:
    """The newest validation loss and primary numbers, short."""
    shown = [
        f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in status.metrics.items()
        if value is not None and "." not in name
    ]
    return "  ".join(shown)


def format_duration(seconds: float) -> str:
    """Such as `1h 10m`, `2m 05s` or `12s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
