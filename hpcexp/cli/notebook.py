"""`hpcexp notebook` and `hpcexp notebook import`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from hpcexp.cli.counting import showing_count
from hpcexp.cli.dates import DAY
from hpcexp.cli.options import (
    experiments_dir_option,
    json_option,
    print_json,
    resolve_experiments_dir,
)
from hpcexp.errors import UsageError

SUFFIXES = (".html", ".md")
MAX_PROBLEMS_SHOWN = 10


@click.group(invoke_without_command=True)
@click.option("--since", type=DAY, metavar="DAY", help="Only this day and later, or 7d ago.")
@click.option("--until", type=DAY, metavar="DAY", help="Only this day and earlier.")
@click.option(
    "--output",
    "-o",
    "outputs",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Where to, .html or .md. Repeatable.  [default: notebook/ beside the experiments]",
)
@click.option("--no-figures", is_flag=True, help="Draw nothing.")
@json_option
@experiments_dir_option
@click.pass_context
def notebook(
    context: click.Context,
    *,
    since: date | None,
    until: date | None,
    outputs: tuple[Path, ...],
    no_figures: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Write the notebook: all experiments and notes by date.

    With questions, outcomes, verdicts, figures and remarks, as one HTML file that needs no
    network, and as Markdown.

    Examples:

    \b
      hpcexp notebook
      hpcexp notebook --since 2022-12-01 -o december.html
      hpcexp notebook import old_notes.txt
    """
    if context.invoked_subcommand is not None:
        context.obj = experiments_dir
        return
    for path in outputs:
        if path.suffix not in SUFFIXES:
            raise UsageError(f"--output {path}: the notebook is written as .html or .md")
    from hpcexp.analysis.lab_notebook.write import write_notebook

    directory = resolve_experiments_dir(experiments_dir)
    _check_directory(directory)
    with showing_count("drawing", is_quiet=as_json) as show:
        written = write_notebook(
            directory,
            outputs=outputs,
            since=since,
            until=until,
            with_pictures=not no_figures,
            on_progress=show,
        )
    if as_json:
        files = [str(path) for path in written.paths]
        print_json({"files": files, "experiments": list(written.experiments)})
    else:
        number = len(written.experiments)
        count = "1 experiment" if number == 1 else f"{number} experiments"
        click.echo(f"{count}: {', '.join(str(path) for path in written.paths)}")
    for problem in written.problems[:MAX_PROBLEMS_SHOWN]:
        click.echo(f"! {problem}", err=True)


@notebook.command(name="import")
@click.argument(
    "path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--year", type=click.IntRange(1900, 9999), help="Of the first date, if it has none.")
@click.option("--name", help="What to call it.  [default: the file's name]")
@json_option
@experiments_dir_option
@click.pass_context
def import_file(
    context: click.Context,
    *,
    path: Path,
    year: int | None,
    name: str | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Take in a notebook that was kept as text: docs/lab-notebook.md shows the format.

    Every line is kept, and `hpcexp notebook` shows it. What stands indented below the name of an
    experiment is attached to it, now or when it appears. A file that was imported before is
    read anew.

    Examples:

    \b
      hpcexp notebook import old_notes.txt
    """
    from hpcexp.store.find import list_archived, list_experiments
    from hpcexp.store.notebook.imported import find_remarks, import_notebook

    directory = resolve_experiments_dir(experiments_dir or context.obj)
    change = import_notebook(path, experiments_dir=directory, name=name, year=year)
    remarks = find_remarks(change.notebook)
    here = {e.name for e in [*list_experiments(directory), *list_archived(directory)]}
    attached = [found for found in remarks if found in here]
    waiting = [found for found in remarks if found not in here]
    if as_json:
        print_json(
            {
                "name": change.notebook.name,
                "num_lines": len(change.notebook.lines),
                "num_new_lines": change.num_new,
                "num_gone_lines": change.num_gone,
                "attached": attached,
                "waiting": waiting,
            }
        )
        return
    click.echo(f"{change.notebook.name}: {len(change.notebook.lines)} lines, {change.num_new} new")
    if change.num_gone:
        click.echo(f"! {change.num_gone} lines that the last import had are gone from the file")
    counts = f"{len(attached)} are here, {len(waiting)} not yet"
    experiments = "1 experiment" if len(remarks) == 1 else f"{len(remarks)} experiments"
    click.echo(f"remarks on {experiments}: {counts}")
    click.echo("see it  hpcexp notebook")


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise UsageError(
            f"there is no directory {directory}/; say where experiments are with --experiments-dir"
        )
