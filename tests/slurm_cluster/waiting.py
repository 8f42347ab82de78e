"""Waiting with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout_s: float, poll_s: float = 0.05) -> T:
    """Poll until the condition is true, and return what it returned.

    Raises TimeoutError where it is not true in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not true within {timeout_s:g} s")
        time.sleep(poll_s)
