"""`hpcexp status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    complete_experiment,
    experiments_dir_option,
    find,
    json_option,
    make_console,
    print_json,
    resolve_experiments_dir,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hpcexp.store.layout import ExperimentDir

WATCH_EVERY_S = 2.0
MAX_EXPERIMENTS_SHOWN = 20


@click.command()
@click.argument(
    "experiment_name", metavar="[EXP_DIR]", required=False, shell_complete=complete_experiment
)
@click.option("--watch", is_flag=True, help="Go on showing, until Ctrl-C.")
@click.option("--all", "show_all", is_flag=True, help="Also the experiments beyond the newest 20.")
@json_option
@experiments_dir_option
def status(
    *,
    experiment_name: str | None,
    watch: bool,
    show_all: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Show how far experiments are, and what went wrong.

    Without a name: a line for each experiment, newest first. With one: its groups, and its
    failed runs with the reason and what to do.

    Examples:

    \b
      hpcexp status
      hpcexp status max_epoch --watch
      hpcexp status --all --json
    """
    directory = resolve_experiments_dir(experiments_dir)
    experiment = (
        find(experiment_name, directory, quiet=as_json, archives=True) if experiment_name else None
    )
    if as_json:
        print_json(_to_json(experiment, directory))
        return
    console = make_console()
    if not watch:
        console.print(_render(experiment, directory, show_all=show_all))
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=1, transient=False) as live:
        while True:
            live.update(_render(experiment, directory, show_all=show_all))
            time.sleep(WATCH_EVERY_S)


def _render(experiment: ExperimentDir | None, directory: Path, *, show_all: bool) -> RenderableType:
    from rich.console import Group

    from hpcexp.cli.archive import describe_archived
    from hpcexp.cli.status_view import render_experiment, render_overview
    from hpcexp.launch.observe import observe, observe_all
    from hpcexp.store.find import list_archived, list_experiments

    if experiment is not None:
        return render_experiment(observe(experiment))
    experiments, archived = list_experiments(directory), list_archived(directory)
    if not experiments and not archived:
        return f"there are no experiments in {directory}/: hpcexp launch TEMPLATE makes one"
    shown = experiments if show_all else experiments[:MAX_EXPERIMENTS_SHOWN]
    observations, problems = observe_all(shown)
    num_hidden = len(experiments) - len(shown)
    overview = render_overview(observations, problems=problems, num_hidden=num_hidden)
    shown_archived = archived if show_all else archived[:MAX_EXPERIMENTS_SHOWN]
    return Group(*([overview] if experiments else []), *describe_archived(shown_archived))


def _to_json(experiment: ExperimentDir | None, directory: Path) -> Any:
    from hpcexp.cli.archive import list_archived_as_json
    from hpcexp.launch.observe import observe, observe_all
    from hpcexp.launch.status_json import observation_to_json
    from hpcexp.store.find import list_archived, list_experiments

    if experiment is not None:
        return observation_to_json(observe(experiment), with_runs=True)
    observations, problems = observe_all(list_experiments(directory))
    readable = [observation_to_json(o, with_runs=False) for o in observations]
    return [
        *readable,
        *({"experiment": str(directory / name), "problem": t} for name, t in problems.items()),
        *list_archived_as_json(list_archived(directory)),
    ]
