"""Environment variables that tell a worker how long to wait. They change no number."""

from __future__ import annotations

import math
import os

from hpcexp.errors import UsageError


def read_seconds(variable: str, default_s: float, *, meaning: str) -> float:
    """Seconds, at least 0; `default_s` where the variable is not set.

    `meaning` is what happens where it is unset. Raises UsageError for what is no number of
    seconds.
    """
    text = os.environ.get(variable, str(default_s))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UsageError(
            f"{variable}={text!r} is no number of seconds, such as 60; unset it {meaning}"
        )
    return seconds
