from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

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


def test_a_cancelled_run_does_not_cancel_the_next_but_a_signal_stays() -> None:
    interruption = Interruption()
    interruption.cancel()
    assert interruption.reason == "cancelled by the user"
    interruption.begin_run()
    assert not interruption.reason
    interruption.request(signal.SIGTERM)
    interruption.begin_run()
    assert "SIGTERM" in str(interruption.reason)
