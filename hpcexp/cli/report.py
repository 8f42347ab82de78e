"""`hpcexp report`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)
from hpcexp.errors import UsageError

MAX_PROBLEMS_SHOWN = 10
SUFFIXES = (".html", ".htm")


@click.command()
@experiment_argument
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to, .html.  [default: plots/report.html in the experiment]",
)
@click.option(
    "--baselines",
    metavar="EXPERIMENT",
    help="Single-task models that gains of several tasks are over (docs/multitask.md).",
)
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser of this machine.")
@json_option
@experiments_dir_option
def report(
    *,
    experiment_name: str,
    output: Path | None,
    baselines: str | None,
    open_it: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Write everything about an experiment as one HTML file.

    Verdicts first, then figures that can be pointed at, tables, curves, pictures of
    `hpcexp eval`, failed runs with what to type next, what was used, where it came from, notes,
    and how to do it again. The file needs no network: it can be mailed, printed and kept.
    Works while runs train. docs/report.md shows what is in it.

    Examples:

    \b
      hpcexp report latest
      hpcexp report max_epoch -o max_epoch.html
    """
    if output is not None and output.suffix not in SUFFIXES:
        raise UsageError(f"--output {output}: a report is written as .html")
    from hpcexp.analysis.report.write import write_report
    from hpcexp.api.circumstances import look_around

    experiment = find(experiment_name, experiments_dir, quiet=as_json, archives=True)
    other = find(baselines, experiments_dir, quiet=as_json, archives=True) if baselines else None
    written = write_report(experiment, look_around(experiment), baselines=other, output=output)
    if as_json:
        print_json(
            {
                "experiment": str(experiment.place),
                "file": str(written.path),
                "num_bytes": written.num_bytes,
                "problems": list(written.problems),
            }
        )
    else:
        click.echo(f"{written.counts}\nwrote {written.path} ({written.num_bytes / 1e6:.1f} MB)")
    for problem in written.problems[:MAX_PROBLEMS_SHOWN]:
        click.echo(f"! {problem}", err=True)
    if open_it:
        _open(written.path)


def _open(path: Path) -> None:
    """Show a file; a login node has no browser, which is no reason to fail."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        click.echo(
            "! there is no browser here; copy the file to a machine that has one: "
            f"scp HOST:{path.resolve()} .",
            err=True,
        )
