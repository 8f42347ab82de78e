"""`hpcexp note`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcexp.cli.options import (
    complete_run,
    complete_tag,
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)
from hpcexp.errors import UsageError

if TYPE_CHECKING:
    from hpcexp.store.layout import ExperimentDir
    from hpcexp.store.notebook.notes import Note

SCISSORS = "------------------------ >8 ------------------------"
EXPLANATION = """
{scissors}
Above this line: a note on {name}.
A line of #words such as #present_in_meeting gives it tags. An empty note is not kept.
"""


@click.command()
@experiment_argument
@click.argument("text", required=False)
@click.option(
    "--tag",
    "tags",
    metavar="WORD",
    multiple=True,
    shell_complete=complete_tag,
    help="A word to find it by; present_in_meeting shows it in `hpcexp meeting`. Repeatable.",
)
@click.option("--run", metavar="RUN", shell_complete=complete_run, help="The run or group meant.")
@click.option("--next", "next_step", metavar="TEXT", default="", help="What to do about it.")
@click.option("--list", "lists", is_flag=True, help="Show what has been written about it.")
@json_option
@experiments_dir_option
def note(
    *,
    experiment_name: str,
    text: str | None,
    tags: tuple[str, ...],
    run: str | None,
    next_step: str,
    lists: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Write down what you think of an experiment.

    The note is kept in the experiment's directory with your name and the date, in a file of its
    own. Without TEXT an editor opens ($VISUAL or $EDITOR); `-` reads standard input.

    Examples:

    \b
      hpcexp note latest "16 looks better than 32" --tag present_in_meeting
      hpcexp note latest --run batch_size=128 "collapses" --next "look at the gradients"
      hpcexp note latest --list
    """
    if lists and (text is not None or tags or run or next_step):
        raise UsageError("--list shows notes, and takes no other text or option than --json")
    experiment = find(experiment_name, experiments_dir, quiet=as_json, archives=lists)
    if lists:
        _show_notes(experiment, as_json=as_json)
        return
    from hpcexp.store.experiment import read_plan
    from hpcexp.store.notebook.notes import add_note, check_run, make_note
    from hpcexp.store.notebook.tags import check_tag

    plan = read_plan(experiment)
    for tag in tags:  # before somebody writes a page in the editor
        check_tag(tag)
    if run is not None:
        check_run(plan, run, experiment_name=experiment.name)
    if text is None and not next_step:
        text = _edit(experiment)
    elif text == "-":
        text = sys.stdin.buffer.read().decode(errors="replace")
    written = make_note(text or "", tags=tags, run=run, next_step=next_step)
    add_note(experiment, written)
    if as_json:
        print_json(asdict(written))
        return
    tagged = f", tagged {', '.join(written.tags)}" if written.tags else ""
    click.echo(f"noted by {written.author}{tagged}")
    click.echo(f"all of them  hpcexp note {experiment.name} --list")


def _edit(experiment: ExperimentDir) -> str:
    """What somebody writes in an editor."""
    if not sys.stdin.isatty():
        raise UsageError("no text, and no terminal for an editor: give the text, or - for stdin")
    text = click.edit(EXPLANATION.format(scissors=SCISSORS, name=experiment.name), extension=".md")
    if text is None:
        raise UsageError("the editor was left without saving: nothing was written")
    return text.partition(SCISSORS)[0]


def _show_notes(experiment: ExperimentDir, *, as_json: bool) -> None:
    from hpcexp.store.notebook.gather import read_all_notes

    found = read_all_notes(experiment)
    if as_json:
        notes = [asdict(note) for note in found.notes]
        print_json(
            {"experiment": str(experiment.place), "notes": notes, "problems": found.problems}
        )
        return
    for written in found.notes:
        click.echo("\n".join(describe_note(written)))
    if not found.notes:
        click.echo(f'no notes: hpcexp note {experiment.name} "..." writes one')
    for problem in found.problems:
        click.echo(f"! {problem}", err=True)


def describe_note(note: Note) -> list[str]:
    """Who and when, then the text, indented."""
    when = note.created[:16].replace("T", " ") or "no date"
    about = [f"on {note.run}"] if note.run else []
    tags = [f"#{tag}" for tag in note.tags]
    head = "  ".join([when, note.author or note.source, *about, *tags])
    body = [f"    {line}" for line in note.text.splitlines()]
    return [head, *body, *([f"    next: {note.next}"] if note.next else [])]
