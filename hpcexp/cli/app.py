"""The `hpcexp` command and its subcommands.

Plain click rather than typer: typer builds a pydantic model for every option when a command
runs, which made `hpcexp status` take twice as long.
"""

from __future__ import annotations

import click

import hpcexp
from hpcexp.cli import (
    archive,
    clean,
    completion,
    control,
    dataset,
    debug,
    disk_use,
    doctor,
    export,
    extend,
    foretell,
    history,
    inspect,
    launch,
    logs,
    look,
    meeting,
    new,
    note,
    notebook,
    plot,
    queue,
    remove,
    replay,
    report,
    reproduce,
    results,
    run,
    search,
    site,
    transfer,
)
from hpcexp.cli import eval as eval_command
from hpcexp.cli import list as list_command

HELP_WIDTH = 100


class InOrder(click.Group):
    """Lists commands in the order in which people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of registration."""
        del ctx
        return list(self.commands)


@click.group(
    cls=InOrder,
    name="hpcexp",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": HELP_WIDTH,
        "show_default": True,
    },
)
@click.version_option(hpcexp.__version__, message="hpcexp %(version)s")
def app() -> None:
    """From a ten-line template to boxplots you can trust: train on Slurm or on this machine.

    A template names hyperparameters, a grid and a number of random initialisations:

    \b
      hpcexp launch templates/quickstart.yaml --dry-run   what would happen
      hpcexp launch templates/quickstart.yaml             train
      hpcexp status                                       how far everything is
      hpcexp plot latest                                  boxplots, also while it trains
      hpcexp report latest                                all of it as one HTML file
      hpcexp eval latest                                  look into the trained models

    An experiment is named by its path, by `latest`, or by part of its name.
    """


for command in (
    launch.launch,
    inspect.status,
    list_command.list_experiments,
    logs.logs,
    control.resume,
    control.retry,
    control.cancel,
    queue.set_queue,
    queue.hold,
    queue.release,
    run.run,
    extend.extend,
    look.look,
    search.search,
    plot.plot,
    foretell.foretell,
    report.report,
    results.compare,
    results.import_results,
    history.history,
    eval_command.evaluate,
    replay.replay,
    reproduce.reproduce,
    transfer.pull,
    transfer.push,
    archive.archive,
    clean.clean,
    remove.rm,
    remove.restore,
    disk_use.du,
    note.note,
    notebook.notebook,
    meeting.meeting,
    export.export,
    dataset.dataset,
    debug.debug,
    debug.lr_range,
    doctor.doctor,
    site.site,
    plot.schema,
    new.new,
    completion.completion,
):
    app.add_command(command)
