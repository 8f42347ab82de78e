"""Being asked to stop: signals become a note that the training loop reads between steps.

Nothing happens inside the signal handler itself: a checkpoint is only ever made at a step
boundary, where the state is whole.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hpcexp.store.status import State

REASONS = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "asked to end (SIGTERM: cancelled, preempted or out of time)",
    signal.SIGUSR2: "the job's time limit is near",
}


class Interruption:
    """Collects the first request to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.is_cancelled = False

    @contextmanager
    def noting_signals(self) -> Iterator[None]:
        """Within, the signals are noted; afterwards they do what they did before.

        Enter it before torch is imported, which takes seconds. SIGUSR2 is what submitit makes
        Slurm send before a time-out.
        """
        previous = {number: signal.signal(number, self._note) for number in REASONS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def request(self, number: signal.Signals) -> None:
        """Ask to stop, as a signal would."""
        if self.signal is None:
            self.signal = number

    def cancel(self) -> None:
        """The user wants the run that is trained now to end."""
        self.is_cancelled = True

    def begin_run(self) -> None:
        """A cancelled run does not cancel the next one of its bundle."""
        self.is_cancelled = False

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self.is_cancelled:
            return "cancelled by the user"
        return REASONS[self.signal] if self.signal is not None else None

    @property
    def is_out_of_time(self) -> bool:
        """Whether the job's time limit is near."""
        return self.signal == signal.SIGUSR2

    @property
    def state(self) -> State:
        """What a run is that was stopped for this."""
        if self.is_cancelled:
            return State.CANCELLED
        if self.is_out_of_time:
            return State.TIMED_OUT
        return State.INTERRUPTED

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.request(signal.Signals(number))
