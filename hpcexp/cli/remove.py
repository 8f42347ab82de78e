"""`hpcexp rm` and `hpcexp restore`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from hpcexp.cli.options import (
    complete_experiment,
    completing_quietly,
    experiments_dir_option,
    find,
    json_option,
    print_json,
    resolve_experiments_dir,
)
from hpcexp.cli.sizes import count, format_bytes

DECLINED_EXIT_CODE = 1


@completing_quietly
def complete_thrown(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of what is in the trash, for the shell's completion."""
    from hpcexp.launch.trash import list_thrown
    from hpcexp.site import find_experiments_dir

    names = [thrown.experiment.name for thrown in list_thrown(find_experiments_dir())]
    return [CompletionItem(name) for name in names if incomplete in name]


@click.command()
@click.argument(
    "experiment_names", metavar="[EXP_DIR]...", nargs=-1, shell_complete=complete_experiment
)
@click.option("--empty-trash", is_flag=True, help="Delete what was removed, for good.")
@click.option("--force", is_flag=True, help="Also what other experiments start from.")
@click.option("--yes", "-y", is_flag=True, help="With --empty-trash: do not ask.")
@json_option
@experiments_dir_option
def rm(
    *,
    experiment_names: tuple[str, ...],
    empty_trash: bool,
    force: bool,
    yes: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Remove experiments: to the trash, from which `hpcexp restore` takes them back.

    An experiment that somebody works on is refused. The trash, .trash in the directory of
    experiments, takes as much space as before; --empty-trash frees it, after it has asked.

    Examples:

    \b
      hpcexp rm max_epoch
      hpcexp restore max_epoch
      hpcexp rm --empty-trash
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.trash import throw_away

    if empty_trash == bool(experiment_names):
        raise UsageError("name experiments to remove, or give --empty-trash: one of the two")
    if empty_trash:
        _empty(resolve_experiments_dir(experiments_dir), yes=yes, as_json=as_json)
        return
    found = [find(name, experiments_dir, quiet=as_json) for name in experiment_names]
    chosen = list({experiment.path: experiment for experiment in found}.values())
    thrown = [throw_away(experiment, force=force) for experiment in chosen]
    if as_json:
        print_json([str(item.experiment.path) for item in thrown])
        return
    for item in thrown:
        click.echo(f"removed  {item.experiment.name}")
    undo = " ".join(f"hpcexp restore {item.experiment.name};" for item in thrown[:1])
    click.echo(f"undo     {undo.rstrip(';')}")


def _empty(directory: Path, *, yes: bool, as_json: bool) -> None:
    from hpcexp.errors import UsageError
    from hpcexp.launch.disk_use import measure
    from hpcexp.launch.trash import empty_trash, list_thrown

    thrown = list_thrown(directory)
    if not as_json:
        for item in thrown:
            when = datetime.fromtimestamp(item.when).strftime("%Y-%m-%d %H:%M")
            size = format_bytes(measure(item.experiment).total)
            click.echo(f"{item.experiment.name}  removed {when}  {size}")
    if thrown and not yes:
        if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("nothing was deleted: there is nobody to ask; --yes deletes it")
        if not click.confirm(f"delete {count(len(thrown), 'experiment')} for good?"):
            click.echo("nothing was deleted")
            click.get_current_context().exit(DECLINED_EXIT_CODE)
    number, num_bytes = empty_trash(directory)
    if as_json:
        print_json({"num_experiments": number, "num_bytes": num_bytes})
    elif number:
        click.echo(f"deleted  {count(number, 'experiment')}, {format_bytes(num_bytes)}")
    else:
        click.echo("the trash is empty")


@click.command()
@click.argument("name", metavar="NAME", shell_complete=complete_thrown)
@json_option
@experiments_dir_option
def restore(*, name: str, as_json: bool, experiments_dir: Path | None) -> None:
    """Take an experiment back that `hpcexp rm` removed; of several, the one removed last.

    Examples:

    \b
      hpcexp restore latest
      hpcexp restore max_epoch
    """
    from hpcexp.launch.trash import restore as restore_experiment

    directory = resolve_experiments_dir(experiments_dir)
    experiment = restore_experiment(name, experiments_dir=directory)
    if as_json:
        print_json({"experiment": str(experiment.path)})
    else:
        click.echo(f"restored  {experiment.path}")
