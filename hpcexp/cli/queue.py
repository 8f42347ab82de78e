"""`hpcexp set`, `hold` and `release`: jobs that wait in the queue of Slurm."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)
from hpcexp.cli.sizes import count

if TYPE_CHECKING:
    from hpcexp.launch.slurm.change import Changed


@click.command(name="set")
@experiment_argument
@click.option(
    "--max-parallel",
    type=click.IntRange(min=0),
    help="Most jobs that run at the same time; 0: as many as there are.",
)
@click.option("--partition", metavar="NAME", help="Slurm partition; several with commas.")
@click.option("--time", "timeout", metavar="DURATION", help="Longest time of a job, such as 12h.")
@json_option
@experiments_dir_option
def set_queue(
    *,
    experiment_name: str,
    max_parallel: int | None,
    partition: str | None,
    timeout: str | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Change what jobs that wait in the queue ask for.

    Jobs that train already keep what they have, but for --max-parallel, which counts for all. Runs
    that wait for room under the cluster's limits are submitted with what is given here. `resume`
    asks for what the launch asked for again, unless you tell it otherwise.

    Examples:

    \b
      hpcexp set max_epoch --max-parallel 8
      hpcexp set max_epoch --partition long --time 2d
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.slurm.change import change_jobs
    from hpcexp.template import parse_resource_changes

    given = {"partition": partition, "timeout": timeout}
    changes = parse_resource_changes((), options=given)
    if max_parallel is not None:
        changes["max_parallel"] = max_parallel
    if not changes:
        raise UsageError("nothing to change: give --max-parallel, --partition or --time")
    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    changed = change_jobs(experiment, changes)
    if as_json:
        print_json(asdict(changed))
        return
    if changed.num_arrays:
        limit = f"at most {max_parallel} at a time" if max_parallel else "as many as there are"
        click.echo(f"changed  {count(changed.num_arrays, 'array')}: {limit}")
    if given["partition"] or given["timeout"]:
        _describe("changed", changed)


@click.command()
@experiment_argument
@json_option
@experiments_dir_option
def hold(*, experiment_name: str, as_json: bool, experiments_dir: Path | None) -> None:
    """Keep jobs that wait in the queue from beginning, until `hpcexp release`.

    What trains goes on. To end it as well, with checkpoints: `hpcexp cancel`.

    Examples:

    \b
      hpcexp hold max_epoch
      hpcexp release max_epoch
    """
    from hpcexp.launch.slurm.change import hold_jobs

    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    changed = hold_jobs(experiment)
    if as_json:
        print_json(asdict(changed))
        return
    _describe("on hold", changed)
    click.echo(f"undo     hpcexp release {experiment.name}")


@click.command()
@experiment_argument
@json_option
@experiments_dir_option
def release(*, experiment_name: str, as_json: bool, experiments_dir: Path | None) -> None:
    """Let jobs begin that `hpcexp hold` keeps waiting.

    Examples:

    \b
      hpcexp release max_epoch
    """
    from hpcexp.launch.slurm.change import release_jobs

    changed = release_jobs(find(experiment_name, experiments_dir, quiet=as_json))
    if as_json:
        print_json(asdict(changed))
        return
    _describe("released", changed)


def _describe(verb: str, changed: Changed) -> None:
    parts = [count(changed.num_waiting, "job")]
    if changed.num_unsubmitted:
        parts.append(f"{count(changed.num_unsubmitted, 'job')} to be submitted")
    if changed.num_at_work:
        parts.append(f"{changed.num_at_work} at work, left as they are")
    click.echo(f"{verb:<8} {'; '.join(parts)}")
