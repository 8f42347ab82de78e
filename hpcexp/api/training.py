"""Handing runs over, as all calls do that train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.launch.executor import LaunchOptions
from hpcexp.launch.executors import EXECUTORS, choose_executor
from hpcexp.launch.submit import Handed, Wish, submit_runs
from hpcexp.store.layout import ExperimentDir


def choose_place(executor: str | None, experiment: ExperimentDir | None = None) -> str:
    """The executor of that name, else the experiment's last, else what fits this machine.

    Raises UsageError for a name that there is not.
    """
    if executor is None:
        return choose_executor(experiment)
    if executor not in EXECUTORS:
        raise UsageError(f"no such executor: {executor}; there are {', '.join(EXECUTORS)}")
    return executor


def train(
    experiment: ExperimentDir,
    choose: Callable[[], list[str]],
    *,
    executor: str,
    jobs: int | None,
    resources: Mapping[str, Any] | None = None,
) -> Handed:
    """Submit or train the runs that `choose` names; shows nothing."""
    return submit_runs(
        experiment, choose, Wish(executor, LaunchOptions(num_jobs=jobs), resources or {})
    )
