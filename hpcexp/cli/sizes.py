"""Sizes and counts as people read them, and a bar for what takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hpcexp.cli.options import make_console


def format_bytes(number: int) -> str:
    """In the unit in which it has one to three digits before the point; 1 kB is 1000 B."""
    if number < 1000:
        return f"{number} B"
    value, units = number / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    unit = units[0]
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def count(number: int, noun: str) -> str:
    """Such as `1 run` or `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True)
class Bar:
    """Shows how far something is: `set_total` once, then `advance`."""

    set_total: Callable[[int], None]
    advance: Callable[[int], None]


@contextmanager
def showing_bar(text: str, *, is_quiet: bool) -> Iterator[Bar]:
    """A bar on a terminal that goes away at the end; nothing elsewhere."""
    console = make_console()
    if is_quiet or not console.is_terminal:
        yield Bar(lambda _: None, lambda _: None)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield Bar(
            lambda total: progress.update(task, total=total),
            lambda number: progress.advance(task, number),
        )
