"""`hpcexp history`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
    runs_argument,
)


@click.command()
@experiment_argument
@runs_argument
@click.option(
    "--metric", "metrics", metavar="NAME", multiple=True, help="Only this metric. Repeatable."
)
@json_option
@experiments_dir_option
def history(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Draw the loss and every metric of single runs over epochs.

    A picture for each run, in plots/history/; RUN is a run or a group, all runs without it.
    Works while runs train.

    Examples:

    \b
      hpcexp history latest
      hpcexp history latest rnn_width=48_rand_1
    """
    from hpcexp.analysis.history import draw_history
    from hpcexp.launch.observe import observe
    from hpcexp.launch.selection import select_runs

    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    names = select_runs(observe(experiment), runs)
    drawn = {name: draw_history(experiment, name, metrics=metrics) for name in names}
    if as_json:
        files = {name: None if path is None else str(path) for name, path in drawn.items()}
        print_json({"experiment": str(experiment.path), "files": files})
        return
    for name, path in drawn.items():
        click.echo(f"  {name}: {'nothing recorded yet' if path is None else path.name}")
    click.echo(f"in {experiment.plots_dir / 'history'}/")
