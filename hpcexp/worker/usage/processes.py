"""CPU time and memory of this process and its children, from /proc."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PAGE = resource.getpagesize()
_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessReading:
    """CPU seconds since the processes began, and the memory that they have now, in bytes."""

    cpu_s: float
    rss: int


def read_processes() -> ProcessReading:
    """This process, children that have ended, and those that live, with their own."""
    ours, ended = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu_s = sum(used.ru_utime + used.ru_stime for used in (ours, ended))
    rss = _read_rss(os.getpid()) or ours.ru_maxrss * 1024  # no /proc: the most it ever had
    for pid in _list_descendants(os.getpid()):
        rss += _read_rss(pid)
        cpu_s += _read_cpu_s(pid)
    return ProcessReading(cpu_s, rss)


def _list_descendants(pid: int) -> Iterator[int]:
    for task in _PROC.glob(f"{pid}/task/*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield int(child)
                yield from _list_descendants(int(child))


def _read_rss(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    return 0


def _read_cpu_s(pid: int) -> float:
    """Its own time and that of its children that have ended."""
    with suppress(OSError, ValueError, IndexError):
        # The name, in parentheses, may hold anything; what follows are numbers.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return 0.0
