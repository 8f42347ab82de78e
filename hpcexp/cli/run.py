"""`hpcexp run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpcexp.cli.options import (
    complete_run,
    experiment_argument,
    experiments_dir_option,
    find,
    resource_options,
)


@click.command()
@experiment_argument
@click.argument("run_name", metavar="RUN", shell_complete=complete_run)
@click.option(
    "--interactive", is_flag=True, help="With this terminal, also on a node: breakpoint() works."
)
@click.option("--here", is_flag=True, help="In this process, also where there is a Slurm.")
@resource_options
@experiments_dir_option
def run(
    *,
    experiment_name: str,
    run_name: str,
    interactive: bool,
    here: bool,
    mem_gb: int | None,
    timeout: str | None,
    settings: tuple[str, ...],
    experiments_dir: Path | None,
) -> None:
    """Train one run in the foreground: under a debugger, or to watch it.

    On a login node of a Slurm cluster it trains on a compute node (srun), elsewhere in this
    process. It goes on from its last checkpoint, is locked as any other, and runs the code as it
    is now, not the copy that the launch made: a `breakpoint()` that you add is met. Ctrl-C lets it
    save a checkpoint and stop.

    Examples:

    \b
      hpcexp run max_epoch rnn_width=48_rand_1 --interactive
      hpcexp run max_epoch rnn_width=48_rand_1 --interactive --timeout 20m --set gpus=1
      hpcexp run max_epoch rnn_width=48_rand_1 --here
    """
    from hpcexp.cli.site import use_site
    from hpcexp.cli.training import train
    from hpcexp.errors import UsageError
    from hpcexp.launch.interactive import check_one, choose_one, train_on_node
    from hpcexp.launch.slurm.executor import has_slurm
    from hpcexp.launch.submit import read_resources
    from hpcexp.store.copies import refuse_copy
    from hpcexp.store.experiment import read_plan
    from hpcexp.template import parse_resource_changes

    changes = parse_resource_changes(settings, options={"mem_gb": mem_gb, "timeout": timeout})
    experiment = find(experiment_name, experiments_dir)
    refuse_copy(experiment)
    on_node = has_slurm() and not here
    if interactive and not sys.stdin.isatty():
        raise UsageError("--interactive needs a terminal; leave it out where there is none")
    use_site()
    if not on_node:
        # One process, whatever the launch packed: a debugger wants a single run.
        train(
            experiment,
            choose_one(experiment, run_name),
            executor="inline",
            jobs=None,
            as_json=False,
            resources={**changes, "packing": "none"},
        )
        return
    resources = read_resources(read_plan(experiment), changes=changes)
    code = train_on_node(
        experiment, check_one(experiment, run_name), resources, with_terminal=interactive
    )
    click.get_current_context().exit(code)
