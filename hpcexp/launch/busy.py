"""Runs that somebody works on, and must not be changed underneath."""

from __future__ import annotations

from collections.abc import Sequence

from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import ACTIVE, Observation

MAX_NAMED = 5


def find_busy(observation: Observation, *, unchanged: str) -> list[str]:
    """Runs that wait, train or are held.

    Raises HpcexpError, which says what is `unchanged`, where squeue is silent.
    """
    if not observation.is_queue_known:
        raise HpcexpError(
            f"{observation.experiment.name}: squeue did not answer: runs may be waiting or "
            f"training; {unchanged}. Try again when `squeue --me` works"
        )
    busy = [name for name, status in observation.statuses.items() if status.state in ACTIVE]
    return busy + sorted(observation.names_held().difference(busy))


def name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{rest}"
