"""The `hpcexp` command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

import hpcexp
from hpcexp.cli import inspect, launch, plot

app = typer.Typer(
    name="hpcexp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hpcexp {hpcexp.__version__}")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """From a ten-line template to boxplots you can trust: train on Slurm or on this machine.

    A template names hyperparameters, a grid and a number of random initialisations:

    \b
      hpcexp launch templates/quickstart.yaml --dry-run   what would happen
      hpcexp launch templates/quickstart.yaml             train
      hpcexp status                                       how far everything is
      hpcexp plot latest                                  boxplots, also while it trains

    An experiment is named by its path, by `latest`, or by part of its name.
    """
    del version


app.command("launch")(launch.launch)
app.command("status")(inspect.status)
app.command("logs")(inspect.logs)
app.command("cancel")(launch.cancel)
app.command("resume")(launch.resume)
app.command("plot")(plot.plot)
app.command("schema")(plot.schema)
