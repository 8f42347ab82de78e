"""`hpcexp resume`, `retry` and `cancel`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    executor_options,
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    pick_executor,
    print_json,
    resource_options,
    runs_argument,
    state_option,
)
from hpcexp.cli.site import use_site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcexp.store.layout import ExperimentDir
    from hpcexp.store.status import State


@click.command()
@experiment_argument
@runs_argument
@state_option
@click.option(
    "--steal", is_flag=True, help="Also what others seem to train: they stop without writing."
)
@resource_options
@executor_options
@json_option
@experiments_dir_option
def resume(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    states: tuple[State, ...],
    steal: bool,
    mem_gb: int | None,
    timeout: str | None,
    settings: tuple[str, ...],
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Train what is unfinished, from the last checkpoints.

    Finished runs are never touched, runs that somebody works on are left alone, and so are
    cancelled ones unless they are named, or their state is. RUN is a run, a group or a pattern
    such as '*_rand_0'.

    Jobs that a killed launch left in the queue are found and kept, so that every run is
    submitted once.

    Examples:

    \b
      hpcexp resume max_epoch
      hpcexp resume max_epoch rnn_width=48 --mem-gb 16
      hpcexp resume max_epoch --state cancelled
    """
    from hpcexp.launch.resume import Choice, make_chooser
    from hpcexp.template import parse_resource_changes

    options = {"mem_gb": mem_gb, "timeout": timeout}
    changes = parse_resource_changes(settings, options=options)
    experiment = find(experiment_name, experiments_dir)
    resources = {**use_site_of(experiment), **changes}
    executor = pick_executor(experiment, slurm=slurm, local=local, inline=inline)
    choice = Choice(runs, states, steal)
    choose = make_chooser(experiment, choice)
    _train(experiment, choose, executor=executor, jobs=jobs, as_json=as_json, resources=resources)


@click.command()
@experiment_argument
@runs_argument
@state_option
@resource_options
@executor_options
@json_option
@experiments_dir_option
def retry(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    states: tuple[State, ...],
    mem_gb: int | None,
    timeout: str | None,
    settings: tuple[str, ...],
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Train what failed once more, with other resources if you like.

    Only runs that failed, ran out of memory, or were lost, or those in the states that are
    given. They continue from their last checkpoints, with the copy of the code that the launch
    made: code that you mended since then reaches new launches only.

    Examples:

    \b
      hpcexp retry latest --mem-gb 16
      hpcexp retry latest 'batch_size=128_*' --state out-of-memory --set gpus=1
    """
    from hpcexp.launch.resume import Choice, choose_retriable, make_chooser
    from hpcexp.store.snapshot import read_snapshot
    from hpcexp.template import parse_resource_changes

    options = {"mem_gb": mem_gb, "timeout": timeout}
    changes = parse_resource_changes(settings, options=options)
    experiment = find(experiment_name, experiments_dir)
    resources = {**use_site_of(experiment), **changes}
    executor = pick_executor(experiment, slurm=slurm, local=local, inline=inline)
    choice = Choice(runs, states)
    choose = make_chooser(experiment, choice, choose=choose_retriable)
    snapshot = None if as_json or inline else read_snapshot(experiment)
    if snapshot is not None:
        click.echo(f"with the code of the launch ({snapshot.label})")
    _train(experiment, choose, executor=executor, jobs=jobs, as_json=as_json, resources=resources)


def _train(
    experiment: ExperimentDir,
    choose: Callable[[], list[str]],
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    resources: Mapping[str, Any],
) -> None:
    """Train runs, and go on with the looks or the search of the experiment, if there are any."""
    from hpcexp.cli.deciding import go_on
    from hpcexp.cli.search import go_on_searching
    from hpcexp.cli.training import train
    from hpcexp.store.deciding import read_deciding
    from hpcexp.store.experiment import read_plan
    from hpcexp.store.searching import is_searching

    deciding = read_deciding(experiment)
    begin = train if deciding is None or deciding.is_over else go_on
    if is_searching(read_plan(experiment)):
        begin = go_on_searching
    begin(
        experiment,
        choose=choose,
        executor=executor,
        jobs=jobs,
        as_json=as_json,
        resources=resources,
    )


@click.command()
@experiment_argument
@runs_argument
@state_option
@json_option
@experiments_dir_option
def cancel(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    states: tuple[State, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """End runs, after a checkpoint.

    Waiting runs end at once, training ones at their next step. RUN is a run, a group or a
    pattern such as '*_rand_0'; without any, everything that has not ended is cancelled.
    `hpcexp resume EXP_DIR RUN` continues them.

    Examples:

    \b
      hpcexp cancel max_epoch
      hpcexp cancel max_epoch rnn_width=48 '*_rand_0'
    """
    from hpcexp.launch.cancel import cancel as cancel_runs

    experiment = find(experiment_name, experiments_dir)
    cancelled = cancel_runs(experiment, runs, states=states)
    if as_json:
        print_json(asdict(cancelled))
        return
    if not cancelled.ended and not cancelled.stopping and not cancelled.search:
        click.echo("nothing to cancel: every run has ended")
    if cancelled.ended:
        click.echo(f"cancelled  {_count_runs(len(cancelled.ended))} that nobody was training")
    if cancelled.stopping:
        click.echo(f"stopping   {_count_runs(len(cancelled.stopping))}, after a checkpoint")
    if cancelled.ended or cancelled.stopping:
        click.echo(f"undo       hpcexp resume {experiment.name} --state cancelled")
    if cancelled.search:
        click.echo(
            f"search     makes no more samples, until hpcexp search {experiment.name} goes on"
        )


def _count_runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
