"""`hpcexp look`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcexp.cli.options import (
    complete_run,
    executor_options,
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    pick_executor,
)


@click.command()
@experiment_argument
@click.option(
    "--without",
    "left_out",
    metavar="RUN",
    multiple=True,
    shell_complete=complete_run,
    help="Go on without a run that failed or was cancelled. Repeatable.",
)
@executor_options
@json_option
@experiments_dir_option
def look(
    *,
    experiment_name: str,
    left_out: tuple[str, ...],
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Take the look that is due at an experiment that `extend --until-decided` began.

    A look waits for all of its runs. Then the pairs that are clear, or hopeless, are done with, and
    the runs of the next look are submitted or trained. Jobs do this by themselves; typing it
    does no harm, however often.

    Examples:

    \b
      hpcexp look max_epoch
      hpcexp look max_epoch --slurm
    """
    from hpcexp.analysis.looks import take_look
    from hpcexp.cli.deciding import go_on
    from hpcexp.launch.deciding import advance, leave_out
    from hpcexp.launch.executors import EXECUTORS

    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    executor = pick_executor(experiment, slurm=slurm, local=local, inline=inline)
    EXECUTORS[executor].check(experiment.path.parent)
    if left_out:
        waiting = advance(experiment, take_look).waiting
        lacking = [name for name, status in waiting.items() if status.is_finished]
        names = leave_out(experiment, left_out, lacking=lacking)
        if not as_json:
            click.echo(f"left out  {', '.join(names)}")
    go_on(experiment, executor=executor, jobs=jobs, as_json=as_json)
