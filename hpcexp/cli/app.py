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


SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Train": (
        launch.launch,
        inspect.status,
        logs.logs,
        control.resume,
        control.retry,
        control.cancel,
        extend.extend,
        look.look,
        search.search,
        run.run,
        queue.set_queue,
        queue.hold,
        queue.release,
    ),
    "Results": (
        plot.plot,
        report.report,
        results.compare,
        history.history,
        eval_command.evaluate,
        foretell.foretell,
        export.export,
        results.import_results,
    ),
    "Notebook": (
        list_command.list_experiments,
        note.note,
        notebook.notebook,
        meeting.meeting,
    ),
    "When something is wrong": (
        debug.debug,
        debug.lr_range,
        replay.replay,
        reproduce.reproduce,
        doctor.doctor,
    ),
    "Keep, move, remove": (
        archive.archive,
        transfer.pull,
        transfer.push,
        clean.clean,
        remove.rm,
        remove.restore,
        disk_use.du,
    ),
    "Set up": (
        new.new,
        dataset.dataset,
        plot.schema,
        site.site,
        completion.completion,
    ),
}
_NAME_WIDTH = max(len(c.name or "") for members in SECTIONS.values() for c in members)


class InSections(click.Group):
    """Lists commands by what people want to do, in the order in which they need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of registration."""
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A titled list for each section, all of one width."""
        del ctx
        limit = formatter.width - 6 - max(map(len, self.commands))
        for title, members in SECTIONS.items():
            names = [command.name or "" for command in members]
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (n.ljust(_NAME_WIDTH), self.commands[n].get_short_help_str(limit))
                        for n in names
                    ]
                )


@click.group(
    cls=InSections,
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


for members in SECTIONS.values():
    for command in members:
        app.add_command(command)
