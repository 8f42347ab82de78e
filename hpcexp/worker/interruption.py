"""Being asked to stop: signals become a note that the training loop reads between steps.

Nothing happens inside the signal handler itself: a checkpoint is only ever made at a step
boundary, where the state is whole.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals
from types import FrameType

from hpcexp.store.status import State

REASONS = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "asked to end (SIGTERM: cancelled, preempted or out of time)",
    signal.SIGUSR2: "the job's time limit is near",
}


class Interruption:
    """Collects the first request to stop."""

    def __init__(self, whole: Interruption | None = None) -> None:
        self.whole = whole
        self.is_cancelled = False
        self._signal: Signals | None = None

    def for_run(self) -> Interruption:
        """One for a run among others: signals are for all, who cancels it cancels it alone."""
        return Interruption(self)

    @property
    def signal(self) -> Signals | None:
        """The first signal that came."""
        return self._signal if self.whole is None else self.whole.signal

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

    def request(self, number: Signals) -> None:
        """Ask to stop, as a signal would."""
        if self.whole is not None:
            self.whole.request(number)
        elif self._signal is None:
            self._signal = number

    def cancel(self) -> None:
        """The user wants this run to end."""
        self.is_cancelled = True

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self.is_cancelled:
            return "cancelled by the user"
        if self.whole is not None:
            return self.whole.reason
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
        self.request(Signals(number))
