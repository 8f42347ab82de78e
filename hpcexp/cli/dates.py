"""Days as people type them: `2022-12-13`, `2022_m12_d13`, `today`, `7d`."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import click

_STAMP = re.compile(r"(\d{4})(?:-|_m|/)(\d{1,2})(?:-|_d|/)(\d{1,2})(?:@.*)?")
_AGO = re.compile(r"(\d{1,5})([dw])")
_DAYS_BACK = {"today": 0, "yesterday": 1}


class DayType(click.ParamType[date]):
    """A day, or how long ago."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day that is meant."""
        if isinstance(value, date):
            return value
        text = str(value).strip().lower()
        if text in _DAYS_BACK:
            return date.today() - timedelta(days=_DAYS_BACK[text])
        try:
            if match := _AGO.fullmatch(text):
                weeks_or_days = 7 if match[2] == "w" else 1
                return date.today() - timedelta(days=int(match[1]) * weeks_or_days)
            if match := _STAMP.fullmatch(text):
                return date(int(match[1]), int(match[2]), int(match[3]))
        except (ValueError, OverflowError):
            pass
        self.fail(
            f"{value!r} is no day: write 2022-12-13, 7d or 2w (ago), today or yesterday", param, ctx
        )


DAY = DayType()
