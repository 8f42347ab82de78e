"""`hpcexp plot` and `hpcexp schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hpcexp.cli.options import AsJson, ExperimentName, ExperimentsDir, find, print_json

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results
    from hpcexp.analysis.summary import Summary


def plot(
    experiment_name: ExperimentName,
    figures: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Only this figure. Repeatable. [default: all]"),
    ] = None,
    as_json: AsJson = False,
    experiments_dir: ExperimentsDir = None,
) -> None:
    """Draw boxplots, success rates and loss curves.

    Works while runs train: it draws what there is, and says what is missing. The files go
    to plots/ in the experiment's directory, as PDF and PNG,
    with the table beside each as CSV.
    """
    from hpcexp.analysis.describe import describe, describe_written
    from hpcexp.analysis.plot import plot_experiment

    experiment = find(experiment_name, experiments_dir, quiet=as_json)

    def show(results: Results, summary: Summary) -> None:
        if not as_json:
            typer.echo(f"{describe(results, summary)}\n")

    report = plot_experiment(experiment, figures=figures, on_numbers=show)
    if as_json:
        print_json({"experiment": str(experiment.path), "files": [str(p) for p in report.written]})
        return
    typer.echo(f"{describe_written(report.written)}\nin {experiment.plots_dir}/")


def schema() -> None:
    """Print the JSON Schema of templates, for editors.

    `hpcexp schema > templates/schema.json`, and a first line in a template such as
    `# yaml-language-server: $schema=schema.json`, let an editor complete and check it.
    """
    from hpcexp.template import build_json_schema

    print_json(build_json_schema())
