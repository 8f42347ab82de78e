"""Durations as a template spells them: `12h30m`, or Slurm's HH:MM:SS and D-HH:MM:SS."""

from __future__ import annotations

import re

from hpcexp.template.nodes import show

_UNITS = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
_CLOCK = re.compile(r"(?:(\d{1,4})-)?(\d{1,4}):([0-5]\d):([0-5]\d)")
_SECONDS = (86400, 3600, 60, 1)
_MAX_DAYS = 365

DURATION_PATTERN = r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$|^(\d+-)?\d+:[0-5]\d:[0-5]\d$"


def parse_duration_s(text: str) -> int:
    """The seconds of `12h30m`, `90m`, `2d`, `45s`, `12:30:00` or `2-00:00:00`.

    Raises ValueError for anything else, for zero, and for more than a year.
    """
    match = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
    if match is None or not text:
        raise ValueError(explain_duration(text))
    parts = (int(part or 0) for part in match.groups())
    seconds = sum(part * unit for part, unit in zip(parts, _SECONDS, strict=True))
    if not 0 < seconds <= _MAX_DAYS * 86400:
        raise ValueError(f"{text} is out of range; write from 1s to {_MAX_DAYS}d")
    return seconds


def explain_duration(value: object) -> str:
    """Why a value is no duration, and what to write."""
    if isinstance(value, str) and re.fullmatch(r"\d+:\d+", value):
        first, second = value.split(":")
        return (
            f"{value} may be hours or minutes (Slurm reads minutes:seconds); "
            f"write {first}h{second}m or {first}m{second}s"
        )
    shown = show(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'{shown} is not a duration: it has no unit; write 12h30m (or "12:30:00")'
    return f'{shown} is not a duration; write 12h30m, 90m, 2d, 45s or "12:30:00"'
