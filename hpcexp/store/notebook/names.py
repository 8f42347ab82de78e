"""Names of experiments as people write them into a notebook."""

from __future__ import annotations

import re
from datetime import date, datetime

from hpcexp.store.layout import TIMESTAMP

_TIME = r"(\d{2})[_;:](\d{2})[_;:](\d{2})"
_NAME = re.compile(rf"(\d{{4}})_m(\d{{2}})_d(\d{{2}})@{_TIME}_(\S*[^\s:/])")
# As names were before they began with the time, such as faster_2022_Oct_20@15_28_39.
_OLD_NAME = re.compile(rf"(\S+?)_(\d{{4}})_([A-Z][a-z]{{2}})_(\d{{1,2}})[@_]{_TIME}")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_name(line: str) -> str | None:
    """The experiment that a line names, as its directory is called, if it says nothing else."""
    text = line.strip().rstrip(":/").strip()
    if _NAME.fullmatch(text):
        return text.replace(";", "_") if _read_time(text) else None
    match = _OLD_NAME.fullmatch(text)
    if match is None or match[3] not in _MONTHS:
        return None
    name, year, month, day, *time = match.groups()
    month_number = _MONTHS.index(month) + 1
    canonical = f"{year}_m{month_number:02d}_d{int(day):02d}@{'_'.join(time)}_{name}"
    return canonical if _read_time(canonical) else None


def find_launch_day(line: str) -> date | None:
    """The day on which the experiment was launched that a line names."""
    name = read_name(line)
    return read_launch_day(name) if name else None


def read_launch_day(name: str) -> date | None:
    """The day in the name of an experiment's directory."""
    time = _read_time(name)
    return time.date() if time else None


def _read_time(name: str) -> datetime | None:
    try:
        return datetime.strptime("_".join(name.split("_")[:5]), TIMESTAMP)
    except ValueError:
        return None
