"""A bar on a terminal for what takes a while, and nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpcexp.cli.options import make_console


@contextmanager
def showing_count(what: str, *, is_quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how many are done, and of how many."""
    console = make_console()
    if is_quiet or not console.is_terminal:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("  {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
