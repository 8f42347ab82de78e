"""`hpcexp import-results` and `hpcexp compare`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcexp.cli.options import (
    experiments_dir_option,
    json_option,
    print_json,
    resolve_experiments_dir,
)


@click.command(name="import-results")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="Name of the experiment.  [default: as the file says, or is named]")
@click.option("--question", help="What the experiment asked, in a line.")
@click.option("--workload", help="What was trained; its hyperparameters are then checked.")
@click.option("--metric", metavar="NAME", help="The metric by which runs are judged.")
@click.option("--success-below", type=float, metavar="VALUE", help="A run below it is a success.")
@click.option(
    "--variable",
    "variables",
    metavar="NAME",
    multiple=True,
    help="A hyperparameter that was varied on purpose. Repeatable.  [default: all that vary]",
)
@json_option
@experiments_dir_option
def import_results(
    *,
    file: Path,
    name: str | None,
    question: str | None,
    workload: str | None,
    metric: str | None,
    success_below: float | None,
    variables: tuple[str, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Make an experiment of finished results from elsewhere.

    FILE is a CSV with a line for each run, or JSON; docs/statistics.md shows both. Then
    `hpcexp plot` and `hpcexp compare` read them as they read any experiment.
    """
    from hpcexp.launch.import_results import ImportOptions
    from hpcexp.launch.import_results import import_results as make

    made = make(
        file,
        experiments_dir=resolve_experiments_dir(experiments_dir),
        options=ImportOptions(name, question, workload, metric, success_below, variables),
    )
    if as_json:
        print_json([{"experiment": str(experiment.path)} for experiment in made])
        return
    for experiment in made:
        click.echo(f"made      {experiment.path}/")
    click.echo(f"results   hpcexp plot {made[-1].name}")
