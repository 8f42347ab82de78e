"""`hpcexp plot` and `hpcexp schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)

if TYPE_CHECKING:
    from hpcexp.analysis.findings import Findings
    from hpcexp.analysis.frames import Results
    from hpcexp.analysis.summary import Summary


@click.command()
@experiment_argument
@click.option(
    "--figure", "figures", metavar="NAME", multiple=True, help="Only this figure. Repeatable."
)
@click.option(
    "--for",
    "medium",
    type=click.Choice(["screen", "paper", "slides"]),
    default="screen",
    help="Sizes: as wide as labels need, columns of 3.5 and 7.16 inches, or 16 to 9.",
)
@click.option(
    "--baselines",
    metavar="EXPERIMENT",
    help="Single-task models that gains of several tasks are over (docs/multitask.md).",
)
@json_option
@experiments_dir_option
def plot(
    *,
    experiment_name: str,
    figures: tuple[str, ...],
    medium: str,
    baselines: str | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Say what the runs support; draw boxplots, success rates and loss curves.

    Of sampled axes, draw each against the metric, parallel coordinates, and importance.
    Works while runs train: it draws what there is, and says what is missing. The files go
    to plots/ in the experiment's directory, as PDF and PNG,
    with the table beside each as CSV; the statistics go there too, as statistics.json,
    statistics_groups.csv and statistics_pairs.csv. docs/statistics.md explains the words.
    With --for paper and --for slides they go to plots/paper/ and plots/slides/, and what a figure
    has no room to explain is a caption beside it, as .txt.
    An archive is read in place; its files go to NAME.plots/ beside it.

    Examples:

    \b
      hpcexp plot latest
      hpcexp plot max_epoch --for paper
    """
    from hpcexp.analysis.describe import describe, describe_written
    from hpcexp.analysis.figures.media import MEDIA
    from hpcexp.analysis.findings_files import findings_to_json
    from hpcexp.analysis.plot import plot_experiment

    experiment = find(experiment_name, experiments_dir, quiet=as_json, archives=True)
    other = find(baselines, experiments_dir, quiet=as_json, archives=True) if baselines else None

    def show(results: Results, summary: Summary, findings: Findings) -> None:
        if not as_json:
            click.echo(f"{describe(results, summary, findings)}\n")

    report = plot_experiment(
        experiment,
        figures=figures or None,
        medium=MEDIA[medium],
        baselines=other,
        on_numbers=show,
    )
    if as_json:
        files = [str(path) for path in (*report.written, *report.tables)]
        statistics = findings_to_json(report.findings)
        print_json({"experiment": str(experiment.place), "files": files, "statistics": statistics})
        return
    click.echo(f"{describe_written(report.written)}\nin {report.directory}/")


@click.command()
@click.option(
    "--workload",
    metavar="NAME",
    help="Only templates of this workload, such as your own package.module:Class.",
)
def schema(*, workload: str | None) -> None:
    """Print the JSON Schema of templates, for editors.

    `hpcexp schema > templates/schema.json`, and a first line in a template such as
    `# yaml-language-server: $schema=schema.json`, let an editor complete and check it.

    Examples:

    \b
      hpcexp schema > templates/schema.json
      hpcexp schema --workload curve.workload:Curve > templates/curve.schema.json
    """
    from hpcexp.template import build_json_schema

    print_json(build_json_schema(only=workload))
