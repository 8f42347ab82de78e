"""`hpcexp meeting`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from hpcexp.cli.counting import showing_count
from hpcexp.cli.dates import DAY
from hpcexp.cli.options import (
    complete_tag,
    experiments_dir_option,
    json_option,
    print_json,
    resolve_experiments_dir,
)
from hpcexp.errors import UsageError

SUFFIXES = (".html", ".pdf")
MAX_PROBLEMS_SHOWN = 10
MAX_LETTERS_SHOWN = 10


@click.command()
@click.option("--since", type=DAY, metavar="DAY", help="Noted on this day or later, or 7d ago.")
@click.option(
    "--tag",
    metavar="WORD",
    default="present_in_meeting",
    shell_complete=complete_tag,
    help="The tag of the notes.",
)
@click.option(
    "--output",
    "-o",
    "outputs",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Where to, .html or .pdf. Repeatable.  [default: notebook/ beside the experiments]",
)
@json_option
@experiments_dir_option
def meeting(
    *,
    since: date | None,
    tag: str,
    outputs: tuple[Path, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Make slides of the experiments that are tagged for a meeting.

    A slide for each: the question, the figure, the verdict and the remarks. As one HTML file
    that needs no network (arrow keys turn the pages), and as PDF.

    Examples:

    \b
      hpcexp note latest "smaller is better" --tag present_in_meeting
      hpcexp meeting --since 7d
    """
    for path in outputs:
        if path.suffix not in SUFFIXES:
            raise UsageError(f"--output {path}: slides are written as .html or .pdf")
    from hpcexp.store.notebook.tags import check_tag

    tag = check_tag(tag)
    directory = resolve_experiments_dir(experiments_dir)
    from hpcexp.analysis.lab_notebook.write import write_slides

    with showing_count("drawing", is_quiet=as_json) as show:
        written = write_slides(directory, tag=tag, since=since, outputs=outputs, on_progress=show)
    if as_json:
        files = [str(path) for path in written.paths]
        print_json({"files": files, "experiments": list(written.experiments)})
    else:
        number = len(written.experiments)
        count = "1 experiment" if number == 1 else f"{number} experiments"
        click.echo(f"{count}: {', '.join(str(path) for path in written.paths)}")
    if written.missing_letters:
        shown = written.missing_letters[:MAX_LETTERS_SHOWN]
        click.echo(
            f"! no font here has the letters {shown}: the PDF shows boxes for them (the HTML does "
            "not); on Debian, apt install fonts-noto-cjk",
            err=True,
        )
    for problem in written.problems[:MAX_PROBLEMS_SHOWN]:
        click.echo(f"! {problem}", err=True)
