from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from hpcexp.store.status import State
from hpcexp.worker.interruption import REASONS, Interruption


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """Notes this process's signals for the time of a test."""
    interruption = Interruption()
    with interruption.noting_signals():
        yield interruption


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = {number: signal.getsignal(number) for number in REASONS}
    with Interruption().noting_signals():
        assert {number: signal.getsignal(number) for number in REASONS} != before
    assert {number: signal.getsignal(number) for number in REASONS} == before


def test_nothing_is_a_reason_to_stop_at_first(interruption: Interruption) -> None:
    assert interruption.reason is None
    assert not interruption.is_out_of_time


@pytest.mark.parametrize(
    ("number", "words", "requeue"),
    [
        (signal.SIGINT, "Ctrl-C", False),
        (signal.SIGTERM, "SIGTERM", False),
        (signal.SIGUSR2, "time limit is near", True),
    ],
)
def test_a_signal_is_noted_and_ends_nothing_by_itself(
    interruption: Interruption, number: signal.Signals, words: str, requeue: bool
) -> None:
    os.kill(os.getpid(), number)
    assert interruption.signal == number
    assert words in (interruption.reason or "")
    assert interruption.is_out_of_time == requeue


def test_the_first_signal_is_the_reason(interruption: Interruption) -> None:
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.is_out_of_time


def test_who_cancels_a_run_cancels_it_alone_and_a_signal_is_for_all() -> None:
    whole = Interruption()
    run, other = whole.for_run(), whole.for_run()
    run.cancel()
    assert run.reason == "cancelled by the user"
    assert not other.reason
    assert not whole.reason
    whole.request(signal.SIGTERM)
    assert "SIGTERM" in str(other.reason)
    assert (run.state, other.state) == (State.CANCELLED, State.INTERRUPTED)
