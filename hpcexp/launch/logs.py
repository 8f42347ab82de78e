"""Which file holds the log of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import observe
from hpcexp.launch.selection import select_runs
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import index_jobs


@dataclass(frozen=True)
class RunLog:
    """A log file and the run that it belongs to."""

    path: Path
    run: str


def find_log(experiment: ExperimentDir, name: str, *, attempt: int | None) -> RunLog:
    """The log of an attempt of a run, or what its job printed if no attempt has begun.

    Raises UsageError for an unknown run, HpcexpError where there is no log yet.
    """
    observation = observe(experiment)
    run = select_runs(observation, [name])[0]
    status = observation.statuses[run]
    log_path = experiment.run(run).log_path(attempt or status.attempt)
    if log_path.exists():
        return RunLog(log_path, run)
    if attempt is not None:
        raise HpcexpError(f"{run} has no attempt {attempt}; it has had {status.attempt}")
    place = index_jobs(observation.submissions).get(run)
    if place is not None and (path := experiment.job_log_path(place[0].id, place[1])).exists():
        return RunLog(path, run)
    raise HpcexpError(f"{run} has no log yet: it is {status.state}, {status.reason}")
