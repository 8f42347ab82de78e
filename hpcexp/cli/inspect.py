"""`hpcexp status` and `hpcexp logs`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcexp.cli.options import (
    AsJson,
    ExperimentName,
    ExperimentsDir,
    complete_experiment,
    find,
    make_console,
    print_json,
    resolve_experiments_dir,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hpcexp.store.layout import ExperimentDir

WATCH_EVERY_S = 2.0
MAX_EXPERIMENTS_SHOWN = 20


def status(
    experiment_name: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXP_DIR]",
            help="A path, `latest`, or part of a name. [default: all experiments]",
            show_default=False,
            autocompletion=complete_experiment,
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing, until Ctrl-C.")] = False,
    as_json: AsJson = False,
    experiments_dir: ExperimentsDir = None,
) -> None:
    """Show how far experiments are, and what went wrong.

    Without a name: a line for each experiment, newest first. With one: its groups, and its
    failed runs with the reason and what to do.
    """
    directory = resolve_experiments_dir(experiments_dir)
    experiment = find(experiment_name, directory, quiet=as_json) if experiment_name else None
    if as_json:
        print_json(_to_json(experiment, directory))
        return
    console = make_console()
    if not watch:
        console.print(_render(experiment, directory))
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=1, transient=False) as live:
        while True:
            live.update(_render(experiment, directory))
            time.sleep(WATCH_EVERY_S)


def _render(experiment: ExperimentDir | None, directory: Path) -> RenderableType:
    from hpcexp.cli.status_view import render_experiment, render_overview
    from hpcexp.launch.observe import observe
    from hpcexp.store.find import list_experiments

    if experiment is not None:
        return render_experiment(observe(experiment))
    experiments = list_experiments(directory)
    if not experiments:
        return f"there are no experiments in {directory}/: hpcexp launch TEMPLATE makes one"
    shown = [observe(e) for e in experiments[:MAX_EXPERIMENTS_SHOWN]]
    return render_overview(shown, num_hidden=len(experiments) - len(shown))


def _to_json(experiment: ExperimentDir | None, directory: Path) -> Any:
    from hpcexp.cli.status_view import observation_to_json
    from hpcexp.launch.observe import observe
    from hpcexp.store.find import list_experiments

    if experiment is not None:
        return observation_to_json(observe(experiment), with_runs=True)
    return [observation_to_json(observe(e), with_runs=False) for e in list_experiments(directory)]


def logs(
    experiment_name: ExperimentName,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run of the experiment.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option(help="Attempt, from 1. [default: the newest]")
    ] = None,
    experiments_dir: ExperimentsDir = None,
) -> None:
    """Print the log of a run; -f follows it.

    It is the log of its newest attempt, or what its job printed before it began.
    """
    from hpcexp.launch.logs import find_log

    experiment = find(experiment_name, experiments_dir)
    log = find_log(experiment, run, attempt=attempt)
    typer.echo(f"{log.path}", err=True)
    for text in _read_growing(log.path, experiment, log.run, follow=follow):
        typer.echo(text, nl=False)


def _read_growing(
    path: Path, experiment: ExperimentDir, run: str, *, follow: bool
) -> Iterator[str]:
    from hpcexp.launch.observe import ACTIVE, observe

    with path.open(encoding="utf-8", errors="replace") as file:
        yield file.read()
        while follow:
            is_active = observe(experiment).statuses[run].state in ACTIVE
            yield file.read()
            if not is_active:
                return
            time.sleep(1)
