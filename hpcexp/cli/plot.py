"""`hpcexp plot` and `hpcexp schema`."""

from __future__ import annotations

import typer

from hpcexp.cli.options import AsJson, ExperimentName, ExperimentsDir, find, print_json


def plot(
    experiment_name: ExperimentName,
    as_json: AsJson = False,
    experiments_dir: ExperimentsDir = None,
) -> None:
    """Draw boxplots, success rates and loss curves, with the table beside each.

    Works while runs train: it draws what there is, and says what is missing.
    """
    from hpcexp.analysis.describe import describe
    from hpcexp.analysis.plot import plot_experiment

    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    report = plot_experiment(experiment)
    if as_json:
        print_json({"experiment": str(experiment.path), "files": [str(p) for p in report.written]})
        return
    typer.echo(describe(report.results, report.summary))
    typer.echo(f"\nwrote {len(report.written)} files to {experiment.plots_dir}/")


def schema() -> None:
    """Print the JSON Schema of templates, for editors that complete and check YAML."""
    from hpcexp.template import build_json_schema

    print_json(build_json_schema())
