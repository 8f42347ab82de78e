"""The statuses of all runs of an experiment, without opening ten thousand files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import SETTLED, RunStatus, State, build_status, read_status
from hpcexp.store.summary import read_summary, write_summary

NUM_CHECKED = 8


def read_settled(experiment: ExperimentDir, names: Sequence[str]) -> dict[str, RunStatus]:
    """Statuses as the summary knows them: those of settled runs are final, others are old.

    `names` are all runs of the plan. Those that the summary does not know have not begun, as
    far as it was told.
    """
    summary = read_summary(experiment)
    if summary is None:
        return rebuild_summary(experiment, names)
    path = experiment.summary_path
    try:
        statuses = {
            name: build_status(summary[name], path=path) if name in summary else RunStatus()
            for name in names
        }
    except HpcexpError:
        return rebuild_summary(experiment, names)
    settled = [name for name, status in statuses.items() if status.state in SETTLED]
    for name in random.sample(settled, min(NUM_CHECKED, len(settled))):
        if not _agrees(statuses[name], read_one(experiment, name)):
            return rebuild_summary(experiment, names)
    return statuses


def read_written(experiment: ExperimentDir, names: Sequence[str]) -> dict[str, RunStatus]:
    """Statuses as they were written last, from the summary alone if there is one.

    For lists of many experiments: runs that died without a word still seem to train.
    """
    summary = read_summary(experiment)
    if summary is None:
        return rebuild_summary(experiment, names)
    path = experiment.summary_path
    return {
        name: build_status(summary[name], path=path) if name in summary else RunStatus()
        for name in names
    }


def _agrees(summarised: RunStatus, read: RunStatus) -> bool:
    return (summarised.state, summarised.attempt, summarised.step) == (
        read.state,
        read.attempt,
        read.step,
    )


def rebuild_summary(experiment: ExperimentDir, names: Iterable[str]) -> dict[str, RunStatus]:
    """Read every run's own file, and make the summary again where that is allowed."""
    statuses: dict[str, RunStatus] = {}

    def read_all() -> Iterable[tuple[str, dict[str, Any]]]:
        for name in names:
            statuses[name] = read_one(experiment, name)
            if statuses[name].state != State.LOST:
                yield name, asdict(statuses[name])

    try:
        write_summary(experiment, read_all())
    except (OSError, HpcexpError):  # somebody else's experiment, or an archived one
        statuses.update(
            {name: read_one(experiment, name) for name in names if name not in statuses}
        )
    return statuses


def read_one(experiment: ExperimentDir, name: str) -> RunStatus:
    """A run's own file; a run whose file cannot be read is lost, and why."""
    try:
        return read_status(experiment.run(name))
    except HpcexpError as error:
        return RunStatus(state=State.LOST, reason=str(error))
