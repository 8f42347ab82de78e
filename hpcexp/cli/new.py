"""`hpcexp new`: something to begin with."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def new() -> None:
    """Write something to begin with: a workload of your own.

    Examples:

    \b
      hpcexp new workload curve
    """


@new.command()
@click.argument("name")
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The directory of your project.  [default: this one]",
    show_default=False,
)
def workload(*, name: str, directory: Path) -> None:
    """Write a workload that trains as it stands, to be replaced by your own, part by part.

    It is a Python package NAME (hyperparameters without torch, the model and its data, a test)
    and a template, templates/NAME.yaml. Nothing that exists is overwritten.

    Examples:

    \b
      hpcexp new workload curve
      hpcexp new workload curve --to ~/my-project
    """
    from hpcexp.workloads.own.new import write_skeleton

    skeleton = write_skeleton(name, directory=directory)
    for path in skeleton.files:
        click.echo(f"wrote     {path}")
    template = skeleton.template_path.relative_to(directory)
    go = "" if directory.resolve() == Path.cwd() else f"cd {directory} && "
    click.echo(
        f"test      {go}python -m pytest {name}\n"
        f"look      {go}hpcexp launch {template} --dry-run\n"
        f"train     {go}hpcexp launch {template} --profile smoke"
    )
