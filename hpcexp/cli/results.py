"""`hpcexp import-results` and `hpcexp compare`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcexp.cli.options import (
    complete_experiment,
    experiments_dir_option,
    find,
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

    Examples:

    \b
      hpcexp import-results results.csv
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


@click.command()
@click.argument(
    "experiment_names",
    metavar="EXP_DIR EXP_DIR...",
    nargs=-1,
    required=True,
    shell_complete=complete_experiment,
)
@click.option(
    "--output",
    "output_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go.  [default: a folder in the first experiment's plots/]",
)
@json_option
@experiments_dir_option
def compare(
    *,
    experiment_names: tuple[str, ...],
    output_dir: Path | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Hold experiments against each other: settings, boxplots, tests.

    Groups of one name are compared across experiments, or all where no two share a name. The
    verdicts say which settings differ, and never that one of several is the cause.

    Examples:

    \b
      hpcexp compare max_epoch rnn_width
    """
    from hpcexp.analysis.compare import compare_experiments
    from hpcexp.analysis.describe import align, describe_written, make_table
    from hpcexp.analysis.findings_files import findings_to_json
    from hpcexp.analysis.verdict_lines import describe_verdicts

    experiments = [find(name, experiments_dir, quiet=as_json) for name in experiment_names]
    found = compare_experiments(experiments, output_dir=output_dir)
    rows = [[str(cell) for cell in row] for row in found.differences.to_numpy().tolist()]
    if as_json:
        names = [str(name) for name in found.differences.columns]
        print_json(
            {
                "experiments": [str(experiment.path) for experiment in experiments],
                "differences": [dict(zip(names, row, strict=True)) for row in rows],
                "files": [str(path) for path in found.written],
                "statistics": findings_to_json(found.findings),
            }
        )
        return
    lines = ["settings are equal"]
    if rows:
        lines = align([["settings that differ", *found.labels], *rows], right=())
    lines += ["", *make_table(found.findings), "", *describe_verdicts(found.findings)]
    lines += [f"! {problem}" for problem in found.results.problems]
    click.echo("\n".join(line.rstrip() for line in lines))
    figures = [path for path in found.written if path.suffix in (".pdf", ".png")]
    click.echo(f"\n{describe_written(figures)}\nin {found.written[0].parent}/")
