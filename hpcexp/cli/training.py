"""What the commands share that submit or train runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import make_console, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcexp.launch.submit import Handed
    from hpcexp.store.layout import ExperimentDir


def train(
    experiment: ExperimentDir,
    choose: Callable[[], list[str]],
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    resources: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Submit or train the runs that `choose` names, and say what became of them.

    `details` are added to what is printed as JSON.
    """
    handed = hand_runs(
        experiment, choose, executor=executor, jobs=jobs, quiet=as_json, resources=resources
    )
    code = report(experiment, handed, executor=executor, as_json=as_json, details=details or {})
    if code is not None:
        click.get_current_context().exit(code)


def hand_runs(
    experiment: ExperimentDir,
    choose: Callable[[], list[str]],
    *,
    executor: str,
    jobs: int | None,
    quiet: bool,
    resources: Mapping[str, Any] | None = None,
) -> Handed:
    """Submit or train the runs that `choose` names, with a display of progress unless `quiet`."""
    from hpcexp.cli.progress import ProgressDisplay
    from hpcexp.launch.executor import LaunchOptions
    from hpcexp.launch.submit import Wish, submit_runs

    wish = Wish(executor, LaunchOptions(num_jobs=jobs), resources or {})
    if executor != "local" or quiet:
        return submit_runs(experiment, choose, wish)
    with ProgressDisplay(experiment, make_console()) as display:
        options = replace(wish.options, on_tick=display.update, on_interrupt=display.show_interrupt)
        return submit_runs(experiment, choose, replace(wish, options=options))


def report(
    experiment: ExperimentDir,
    handed: Handed,
    *,
    executor: str,
    as_json: bool,
    details: Mapping[str, Any],
) -> int | None:
    """Say what became of the runs; returns the exit code of what was trained here."""
    from hpcexp.cli.outcome import describe_outcome, describe_submission, find_exit_code
    from hpcexp.launch.executor import DetachedExecutor
    from hpcexp.launch.executors import EXECUTORS

    is_detached = isinstance(EXECUTORS[executor], DetachedExecutor)
    names = list(handed.run_names)
    if as_json:
        jobs = [job_id for submission in handed.submissions for job_id in submission.job_ids]
        print_json(
            {
                "experiment": str(experiment.path),
                "runs": names,
                "jobs": jobs,
                "num_held": handed.num_held,
                **details,
            }
        )
    elif not names and not handed.submissions:
        click.echo("nothing to do: every run has ended or is being worked on")
    elif is_detached:
        click.echo(describe_submission(experiment, handed))
    else:
        click.echo(describe_outcome(experiment, names, done=handed.is_done))
    if names and not is_detached:
        return find_exit_code(experiment, names, done=handed.is_done)
    return None
