"""`hpcexp pull` and `hpcexp push`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from hpcexp.cli.options import (
    complete_experiment,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)


def _checkpoints_option(command: Any) -> Any:
    return click.option(
        "--with-checkpoints", is_flag=True, help="Also checkpoints and parameters: all there is."
    )(command)


@click.command()
@click.argument(
    "sources",
    metavar="HOST:EXP_DIR...",
    nargs=-1,
    required=True,
    shell_complete=complete_experiment,
)
@_checkpoints_option
@json_option
@experiments_dir_option
def pull(
    *,
    sources: tuple[str, ...],
    with_checkpoints: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Fetch experiments from another machine, to look at and to plot here.

    HOST is a site of the configuration files or anything that ssh knows; EXP_DIR is a path there,
    `latest`, or part of a name. The name of a copy that is here brings it up to date. What was
    interrupted goes on where it was, and a copy appears, or is replaced, as a whole; notes and
    figures that were added to it stay. A copy cannot be trained. An archive comes as one file, and
    is read in place.

    Needs ssh and rsync on both sides; hpcexp need not be installed there.

    Examples:

    \b
      hpcexp pull garching:max_epoch
      hpcexp pull me@login.example:/scratch/me/experiments/2022_m12_d14@14_58_06_max_epoch
      hpcexp pull garching:latest --with-checkpoints
      hpcexp pull max_epoch
    """
    from hpcexp.cli.options import resolve_experiments_dir
    from hpcexp.launch.transfer.pull import find_source
    from hpcexp.launch.transfer.pull import pull as pull_experiment
    from hpcexp.site.check import load_site

    site, directory = load_site(), resolve_experiments_dir(experiments_dir)
    found = [find_source(text, site, experiments_dir=directory) for text in sources]
    done = []
    for source in found:
        pulled = pull_experiment(
            source, experiments_dir=directory, with_checkpoints=with_checkpoints
        )
        done.append(
            {
                "experiment": str(pulled.experiment.place),
                "is_update": pulled.is_update,
                **dataclasses.asdict(pulled.record),
            }
        )
        if not as_json:
            verb = "updated" if pulled.is_update else "pulled"
            click.echo(f"{verb}  {pulled.experiment.place}  from {pulled.record.place}")
    if as_json:
        print_json(done)


@click.command()
@click.argument("experiment_name", metavar="EXP_DIR", shell_complete=complete_experiment)
@click.argument("target", metavar="[HOST[:DIRECTORY]]", required=False)
@_checkpoints_option
@json_option
@experiments_dir_option
def push(
    *,
    experiment_name: str,
    target: str | None,
    with_checkpoints: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Send an experiment to another machine, or a copy's notes and figures back.

    HOST is a site of the configuration files, where it goes to that one's experiments, or anything
    that ssh knows. What lies there is then a copy of this experiment, which is replaced as a whole
    by the next push. Without HOST, what was added to a copy (notes, plots, what eval found) goes to
    where the copy comes from; nothing is deleted there.

    Examples:

    \b
      hpcexp push max_epoch garching
      hpcexp push max_epoch me@archive.example:/archive/experiments --with-checkpoints
      hpcexp push max_epoch
    """
    from hpcexp.launch.transfer.push import push as push_experiment
    from hpcexp.launch.transfer.push import push_back
    from hpcexp.site.check import load_site

    site = load_site()
    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    if target is None:
        pushed = push_back(experiment, site)
    else:
        pushed = push_experiment(experiment, target, site, with_checkpoints=with_checkpoints)
    if as_json:
        print_json(dataclasses.asdict(pushed))
    elif target is not None:
        click.echo(f"pushed  {pushed.place}")
    elif pushed.additions:
        click.echo(f"pushed  {', '.join(pushed.additions)} to {pushed.place}")
    else:
        click.echo("nothing was added to this copy: nothing was sent")
