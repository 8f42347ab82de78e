"""The `hpcexp` command and its subcommands.

Plain click rather than typer: typer builds a pydantic model for every option when a command
runs, which made `hpcexp status` take twice as long. A command's module is imported when it is
called: forty of them would take longer than most commands do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

import click

import hpcexp

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP_WIDTH = 100

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Train": {
        "launch": ("launch:launch", "Train every run of a template, on Slurm or here."),
        "status": ("inspect:status", "Show how far experiments are, and what went wrong."),
        "logs": ("logs:logs", "Print the logs of runs; -f follows them."),
        "resume": ("control:resume", "Train what is unfinished, from the last checkpoints."),
        "retry": ("control:retry", "Train what failed once more, with more memory or time."),
        "cancel": ("control:cancel", "End runs, after a checkpoint."),
        "extend": ("extend:extend", "Add initialisations, length or groups, and train them."),
        "look": ("look:look", "Take the look that is due after extend --until-decided."),
        "search": ("search:search", "Go on with a search that learns from results."),
        "run": ("run:run", "Train one run in the foreground, for a debugger."),
        "set": ("queue:set_queue", "Change what jobs ask for that wait in the queue."),
        "hold": ("queue:hold", "Keep jobs that wait in the queue from beginning."),
        "release": ("queue:release", "Let jobs begin that hold keeps waiting."),
    },
    "Results": {
        "plot": ("plot:plot", "Say what the runs support; draw boxplots and curves."),
        "report": ("report:report", "Write everything about an experiment as one page."),
        "compare": ("results:compare", "Hold experiments against each other."),
        "history": ("history:history", "Draw every metric of single runs over epochs."),
        "eval": ("eval:evaluate", "Look into trained models: pictures and numbers."),
        "foretell": ("foretell:foretell", "Learn when which metric foretells success."),
        "export": ("export:export", "Write the results for other programs."),
        "import-results": (
            "results:import_results",
            "Make an experiment of results from elsewhere.",
        ),
    },
    "Notebook": {
        "list": ("list:list_experiments", "Find experiments, newest first."),
        "note": ("note:note", "Write down what you think of an experiment."),
        "notebook": ("notebook:notebook", "Write the notebook: experiments and notes by date."),
        "meeting": ("meeting:meeting", "Make slides of the experiments for a meeting."),
    },
    "When something is wrong": {
        "debug": ("debug:debug", "Check in a minute whether a model can learn at all."),
        "lr-range": ("debug:lr_range", "Draw the loss while the learning rate rises."),
        "replay": ("replay:replay", "Show the step at which a run diverged once more."),
        "reproduce": ("reproduce:reproduce", "Train a run again, and compare every number."),
        "doctor": ("doctor:doctor", "Check this machine and the cluster."),
    },
    "Keep, move, remove": {
        "archive": ("archive:archive", "Put an experiment into one file, or take it out."),
        "pull": ("transfer:pull", "Fetch experiments from another machine."),
        "push": ("transfer:push", "Send an experiment to another machine."),
        "clean": ("clean:clean", "Free the checkpoints of finished runs."),
        "rm": ("remove:rm", "Remove experiments, to the trash."),
        "restore": ("remove:restore", "Take an experiment back from the trash."),
        "du": ("disk_use:du", "Say what experiments weigh."),
    },
    "Set up": {
        "new": ("new:new", "Write a workload of your own to begin with."),
        "dataset": ("dataset:dataset", "Look at the data that a template trains on."),
        "schema": ("plot:schema", "Print the JSON Schema of templates, for editors."),
        "site": ("site:site", "Say what the settings of this site are, and why."),
        "completion": ("completion:completion", "Print what makes a shell complete names."),
    },
}
"""Title -> name -> where the command is (module of this package, and variable), and short help."""

COMMANDS = {name: where for members in SECTIONS.values() for name, where in members.items()}


class InSections(click.Group):
    """Lists commands by what people want to do, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is no such one."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, variable = COMMANDS[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(f"hpcexp.cli.{module}"), variable)
        return cast("click.Command", found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was meant. Raises click.UsageError, with what is near."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no such command: {args[0]}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A titled list for each section, all of one width."""
        del ctx
        width = max(map(len, COMMANDS))
        for title, members in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), text) for name, (_, text) in members.items()]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands from the table; the rest as click does."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


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
