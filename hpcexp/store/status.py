"""The state of a run, as its own process writes it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.files import build_record, read_json, write_json
from hpcexp.store.layout import RunDir
from hpcexp.store.summary import append_summary


class State(StrEnum):
    """What a run's directory says of it, together with what is known of its job."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    PREEMPTED = "preempted"
    NODE_FAILURE = "node_failure"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def words(self) -> str:
        """As people write it, such as `out of memory`."""
        return self.value.replace("_", " ")


FINISHED = frozenset({State.COMPLETED, State.STOPPED, State.DIVERGED})
"""Ended of its own: never trained again."""
FAILED = frozenset({State.FAILED, State.OUT_OF_MEMORY})
"""Ended by an error of its own, which would come again: trained again only if asked for."""
CUT_SHORT = frozenset(
    {State.TIMED_OUT, State.PREEMPTED, State.NODE_FAILURE, State.INTERRUPTED, State.LOST}
)
"""Ended from outside: continues from its last checkpoint."""
SETTLED = FINISHED | FAILED | {State.CANCELLED}
"""No job works on it, and none will unless somebody asks for it."""


@dataclass(frozen=True)
class RunStatus:
    """State, progress and reason of one run.

    `reason` is in words. `hint` is what a user may do about it. Times are in seconds since
    1970 (UTC). `metrics` are the newest values of the validation set, `machine` what must be
    equal for equal bits: device, threads, torch's version, code. `begun_step` is where the
    attempt began, `deaths` how many attempts before it died without a word and got no further.
    `continued_from` is the step and the epoch where it had ended before its budget was raised.
    `skipped_steps` were left out and `rollbacks` made because they diverged (`on_divergence`).
    `foretold` is set once a stop rule foretold the run to fail: the `epoch` and the `value`, and
    whether it `is_audited`, which is trained on.
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
    begun_step: int = 0
    deaths: int = 0
    continued_from: Mapping[str, int] | None = None
    skipped_steps: int = 0
    rollbacks: int = 0
    foretold: Mapping[str, Any] | None = None

    def replace(self, **changes: Any) -> RunStatus:
        """A copy with changes, updated now."""
        return dataclasses.replace(self, updated=time.time(), **changes)

    def explain(self, **changes: Any) -> RunStatus:
        """A copy with what was concluded from outside, which is no sign of life."""
        return dataclasses.replace(self, **changes)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to an end of its own: it is never trained again."""
        return self.state in FINISHED

    @property
    def is_censored(self) -> bool:
        """Whether it was stopped because it was foretold to fail; nobody saw it fail."""
        is_audited = self.foretold is not None and self.foretold["is_audited"]
        return self.state == State.STOPPED and self.foretold is not None and not is_audited


def write_status(run_dir: RunDir, status: RunStatus, *, is_news: bool = True) -> None:
    """Replace a run's status, and note it in the experiment's summary if it is news.

    Progress within a state is no news. The summary may claim that a run has settled only
    while its own file says so: it is told first that a run begins again, and last that it
    has ended, which it can do without (the reader then looks for itself).
    """
    if not is_news:
        write_json(run_dir.status_path, dataclasses.asdict(status))
        return
    if status.state not in SETTLED:
        append_summary(run_dir, dataclasses.asdict(status))
    write_json(run_dir.status_path, dataclasses.asdict(status))
    if status.state in SETTLED:
        with suppress(OSError, HpcexpError):
            append_summary(run_dir, dataclasses.asdict(status))


def read_status(run_dir: RunDir) -> RunStatus:
    """A run's status; fields that this version does not know are ignored.

    Raises HpcexpError where the file is missing or damaged.
    """
    return build_status(read_json(run_dir.status_path), path=run_dir.status_path)


def build_status(values: Any, *, path: Path) -> RunStatus:
    """A status from the values that `path` holds for it.

    Raises HpcexpError where they are no status.
    """
    if isinstance(values, dict) and "state" in values:
        try:
            values = {**values, "state": State(values["state"])}
        except ValueError as error:
            raise HpcexpError(
                f"{path}: damaged, or of a newer hpcexp (state {values['state']!r}; "
                f"known are {', '.join(State)})"
            ) from error
    return build_record(values, RunStatus, path=path)
