"""Which files hold the logs of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.observe import Observation
from hpcexp.launch.progress import NEEDS_SOMEBODY
from hpcexp.launch.selection import select_runs
from hpcexp.store.status import State
from hpcexp.store.submissions import index_jobs

TROUBLED = NEEDS_SOMEBODY | {State.DIVERGED}


@dataclass(frozen=True)
class RunLog:
    """A log file, the run that it belongs to, and what it is."""

    path: Path
    run: str
    title: str


def find_logs(
    observation: Observation,
    names: Sequence[str],
    *,
    attempt: int | None = None,
    only_failed: bool = False,
    of_job: bool = False,
) -> list[RunLog]:
    """The log of an attempt of each run (the newest, unless given), or of its job.

    A run whose attempt has no log yet shows what its job printed. `names` are runs, groups or
    patterns; with `only_failed` those that failed, all of them if none is named.
    Raises UsageError for unknown runs, or where none is asked for; HpcexpError where there is
    no log.
    """
    if not names and not only_failed and len(observation.statuses) > 1:
        raise UsageError(
            f"{observation.experiment.name} has {len(observation.statuses)} runs: name one, a "
            f"group or a pattern, such as {next(iter(observation.statuses))!r}, or give --failed"
        )
    chosen = select_runs(observation, names, states=tuple(TROUBLED) if only_failed else ())
    if not chosen:
        raise HpcexpError("no run has failed" if only_failed else "there is no such run")
    found = [_find(observation, run, attempt=attempt, of_job=of_job) for run in chosen]
    logs = [log for log in found if isinstance(log, RunLog)]
    if not logs:
        raise HpcexpError("\n".join(str(text) for text in found))
    return logs


def _find(observation: Observation, run: str, *, attempt: int | None, of_job: bool) -> RunLog | str:
    """The log of one run, or why there is none."""
    status, run_dir = observation.statuses[run], observation.experiment.run(run)
    number = attempt or status.attempt
    if not of_job:
        path = run_dir.log_path(number)
        if path.exists():
            return RunLog(path, run, f"{run}, attempt {number}")
        if attempt is not None:
            return f"{run} has no attempt {attempt}; it has had {status.attempt}"
    place = index_jobs(observation.submissions).get(run)
    if place is not None:
        path = observation.experiment.job_log_path(place[0].id, place[1])
        if path.exists():
            return RunLog(path, run, f"the job of {run}")
    return f"{run} has no log yet: it is {status.state.words}, {status.reason}"
