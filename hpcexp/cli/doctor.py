"""`hpcexp doctor`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpcexp.cli.options import (
    experiments_dir_option,
    json_option,
    print_json,
)

ERRORS_EXIT_CODE = 1
DEFAULT_WAIT_S = 300.0


@click.command()
@click.option("--node", "with_node", is_flag=True, help="Also look at a compute node: a short job.")
@click.option(
    "--wait", metavar="DURATION", help="Longest wait for that job to begin.  [default: 5m]"
)
@click.option("--gpus", type=click.IntRange(min=0), default=0, help="GPUs that jobs ask for.")
@click.option("--partition", metavar="NAME", help="Slurm partition of jobs.")
@click.option("--account", metavar="NAME", help="Slurm account that is charged.")
@click.option("--qos", metavar="NAME", help="Slurm quality of service.")
@click.option(
    "--setup",
    metavar="LINE",
    multiple=True,
    help="Shell line before the job of --node. Repeatable.",
)
@click.option("--constraint", metavar="FEATURE", help="What a node must have.")
@json_option
@experiments_dir_option
def doctor(
    *,
    with_node: bool,
    wait: str | None,
    gpus: int,
    partition: str | None,
    account: str | None,
    qos: str | None,
    constraint: str | None,
    setup: tuple[str, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Check this machine, the settings of its site, the directory of experiments and the cluster.

    PASSED needs nobody. WARN: hpcexp works, with less. ERROR: it will not, or not safely; then
    the exit code is 1. Nothing is left behind.

    With --node a job of a minute makes the same checks on a compute node, and both sides try
    whether they see each other's files and locks. Ctrl-C cancels it.

    Examples:

    \b
      hpcexp doctor
      hpcexp doctor --node --partition gpu --gpus 1
    """
    from hpcexp.cli.doctor_view import describe_examination
    from hpcexp.launch.doctor.examine import examination_to_json, examine
    from hpcexp.launch.doctor.settings import examine_settings
    from hpcexp.launch.doctor.target import Target
    from hpcexp.site.apply import make_resources
    from hpcexp.site.layers import DEFAULT_EXPERIMENTS_DIR

    wait_s = _read_wait_s(wait, with_node=with_node)
    settings, site = examine_settings()
    directory = experiments_dir or Path(site.get("experiments_dir") or DEFAULT_EXPERIMENTS_DIR)
    asked = make_resources(site)
    target = Target(
        directory,
        partition or asked.get("partition"),
        account or asked.get("account"),
        qos or asked.get("qos"),
        constraint or asked.get("constraint"),
        gpus,
        (*asked.get("setup", ()), *setup),
    )
    if sys.stderr.isatty():
        click.echo("looking at this machine and its cluster ...", err=True)
    examination = examine(
        target,
        with_node=with_node,
        wait_s=wait_s,
        announce=lambda text: click.echo(text, err=True),
        settings=settings,
    )
    if as_json:
        print_json(examination_to_json(examination))
    else:
        describe_examination(examination)
    if examination.has_errors:
        sys.exit(ERRORS_EXIT_CODE)


def _read_wait_s(text: str | None, *, with_node: bool) -> float:
    from hpcexp.errors import UsageError
    from hpcexp.template.durations import parse_duration_s

    if text is None:
        return DEFAULT_WAIT_S
    if not with_node:
        raise UsageError("--wait is for the job of --node: add --node, or leave it out")
    try:
        return parse_duration_s(text)
    except ValueError as problem:
        raise UsageError(f"--wait: {problem}") from problem
