"""`hpcexp export`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)

KINDS = ("csv", "parquet", "tensorboard", "wandb", "mlflow")
NEXT_COMMANDS = {
    "tensorboard": "tensorboard --logdir {path}",
    "wandb": "wandb sync {path}/wandb/offline-run-*",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{path}/mlflow.db",
}


@click.command()
@experiment_argument
@click.option(
    "--to",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    default=("csv",),
    help="What to write. Repeatable.",
)
@click.option(
    "--output",
    "-o",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where: DIR/csv and so on.  [default: export/ in the experiment]",
)
@json_option
@experiments_dir_option
def export(
    *,
    experiment_name: str,
    kinds: tuple[str, ...],
    directory: Path | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Write the results for other programs.

    \b
      csv          runs.csv and metrics.csv
      parquet      the same with their types
      tensorboard  event files: curves and hyperparameters of every run
      wandb        offline runs of Weights & Biases; nothing is sent
      mlflow       a database in a file

    wandb and mlflow need their packages: pip install 'hpcexp[wandb,mlflow]'. Works while runs
    train; an older export is replaced.

    Examples:

    \b
      hpcexp export latest
      hpcexp export latest --to parquet --to tensorboard
    """
    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    from hpcexp.analysis.export.write import write_export
    from hpcexp.analysis.frames import load

    results = load(experiment)
    written = {}
    for kind in dict.fromkeys(kinds):
        path = written[kind] = write_export(results, kind, directory=directory)
        if not as_json:
            click.echo(f"{kind:<11}  {path}/")
            if kind in NEXT_COMMANDS:
                click.echo(f"{'':<11}  {NEXT_COMMANDS[kind].format(path=path)}")
    if as_json:
        print_json({kind: str(path) for kind, path in written.items()})
    for problem in results.problems:
        click.echo(f"! {problem}", err=True)
