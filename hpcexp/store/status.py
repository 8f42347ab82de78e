"""The state of a run, as its own process writes it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import RunDir


class State(StrEnum):
    """What a run's directory says of it; `queued` and `lost` need a look at its job as well."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    LOST = "lost"


FINISHED = frozenset({State.COMPLETED, State.STOPPED, State.DIVERGED})


@dataclass(frozen=True)
class RunStatus:
    """State, progress and reason of one run.

    `reason` is in words. `hint` is what a user may do about it. Times are in seconds since
    1970 (UTC). `metrics` are the newest values of the validation set, `machine` what must be
    equal for equal bits: device, number of threads, torch's version.
    """

    state: State = State.PENDING
    attempt: int = 0
    epoch: int = 0
    num_epochs: int = 0
    step: int = 0
    num_steps: int = 0
    reason: str = ""
    hint: str = ""
    host: str = ""
    job_id: str = ""
    pid: int = 0
    started: float | None = None
    ended: float | None = None
    updated: float = 0.0
    trained_s: float = 0.0
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    def replace(self, **changes: Any) -> RunStatus:
        """A copy with changes, updated now."""
        return dataclasses.replace(self, updated=time.time(), **changes)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to an end of its own: it is never trained again."""
        return self.state in FINISHED


def write_status(run_dir: RunDir, status: RunStatus) -> None:
    """Replace a run's status."""
    write_json(run_dir.status_path, dataclasses.asdict(status))


def read_status(run_dir: RunDir) -> RunStatus:
    """A run's status; fields that this version does not know are ignored.

    Raises HpcexpError where the file is missing or damaged.
    """
    status = read_record(run_dir.status_path, RunStatus)
    try:
        state = State(status.state)
    except ValueError as error:
        raise HpcexpError(
            f"{run_dir.status_path}: damaged, or of a newer hpcexp (state {status.state!r}; "
            f"known are {', '.join(State)})"
        ) from error
    return dataclasses.replace(status, state=state)
