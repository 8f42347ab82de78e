"""`hpcexp launch`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcexp.cli.options import (
    executor_options,
    experiments_dir_option,
    find,
    json_option,
    pick_executor,
    resolve_experiments_dir,
)
from hpcexp.cli.search import go_on_searching
from hpcexp.cli.site import use_site, use_site_of
from hpcexp.cli.training import train

if TYPE_CHECKING:
    from hpcexp.store.layout import ExperimentDir
    from hpcexp.template import Template


@click.command()
@click.argument(
    "template_path", metavar="[TEMPLATE]", required=False, type=click.Path(path_type=Path)
)
@click.option(
    "--continue",
    "continued",
    metavar="EXP_DIR",
    help="Finish a launch that was killed: every run is submitted exactly once.",
)
@click.option("--profile", metavar="NAME", help="Apply a profile of the template, such as smoke.")
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override, such as params.lr=0.01. Repeatable.",
)
@click.option("--rand-inits", type=int, help="Random initialisations for each group.")
@click.option("--name", help="Name of the experiment.")
@click.option(
    "--only",
    metavar="GROUP",
    multiple=True,
    help="Only this group, such as rnn_width=48. Repeatable.",
)
@executor_options
@click.option("--dry-run", is_flag=True, help="Say what would happen; create nothing.")
@json_option
@experiments_dir_option
def launch(
    *,
    template_path: Path | None,
    continued: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    rand_inits: int | None,
    name: str | None,
    only: tuple[str, ...],
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Train every run of a template, on Slurm or here.

    On a login node of a Slurm cluster the runs become a job array; elsewhere, or with --local,
    they train in processes on this machine. On Slurm this returns at once; on this machine it
    shows progress, and Ctrl-C lets the runs save a checkpoint and stop: `hpcexp resume`
    continues them.

    Examples:

    \b
      hpcexp launch templates/xj_batch_size.yaml --dry-run
      hpcexp launch templates/xj_batch_size.yaml --set params.lr=0.01 --rand-inits 3
      hpcexp launch templates/xj_batch_size.yaml --only batch_size=16 --profile smoke --inline
    """
    from hpcexp.analysis.design import foresee
    from hpcexp.errors import UsageError
    from hpcexp.launch.prepare import check_groups
    from hpcexp.launch.start import choose_all, start_launch
    from hpcexp.site.apply import apply_site
    from hpcexp.store.experiment import read_plan
    from hpcexp.template import load_template

    executor = pick_executor(slurm=slurm, local=local, inline=inline)
    if (template_path is None) == (continued is None):
        raise UsageError("give a template, or --continue EXP_DIR to finish a launch; not both")
    if continued is not None:
        _continue(find(continued, experiments_dir), executor=executor, jobs=jobs, as_json=as_json)
        return
    assert template_path is not None
    template = load_template(
        template_path,
        profile=profile,
        overrides=overrides,
        rand_inits=rand_inits,
        name=name,
    )
    template = apply_site(template, use_site())
    check_groups(template, only)
    _check_workload(template, is_launched=not dry_run)
    directory = resolve_experiments_dir(experiments_dir)
    if dry_run:
        from hpcexp.cli.dry_run import print_dry_run

        print_dry_run(
            template,
            experiments_dir=directory,
            only=only,
            executor=executor,
            num_jobs=jobs,
            as_json=as_json,
        )
        return
    if template.is_search:
        from hpcexp.analysis.searching import require_optuna

        require_optuna()
    started = start_launch(template, experiments_dir=directory, only=only, executor=executor)
    experiment = started.experiment
    with suppress(OSError):  # a terminal that nobody can read, such as a log on a full disk
        caveats = [caveat.message for caveat in foresee(read_plan(experiment))]
        for warning in (*caveats, *started.warnings):
            click.echo(f"! {warning}", err=True)
    choose = choose_all(experiment)
    if template.is_search:
        go_on_searching(experiment, choose=choose, executor=executor, jobs=jobs, as_json=as_json)
    existing = started.existing.to_json() if started.existing else None
    train(
        experiment,
        choose,
        executor=executor,
        jobs=jobs,
        as_json=as_json,
        details={"existing": existing},
    )


def _check_workload(template: Template, *, is_launched: bool) -> None:
    """Import a laboratory's own workload before its jobs do, and say what makes it slow."""
    from hpcexp.workloads.own import check_own, find_own, is_own

    if not is_own(template.workload):
        return
    if note := find_own(template.workload).note:
        click.echo(f"! {note}", err=True)
    # What another Python has is not here, perhaps.
    if is_launched and not template.resources.uses_other_python:
        check_own(template.workload)


def _continue(experiment: ExperimentDir, *, executor: str, jobs: int | None, as_json: bool) -> None:
    from hpcexp.launch.resume import Choice, make_chooser

    resources = use_site_of(experiment)
    choose = make_chooser(experiment, Choice())
    train(experiment, choose, executor=executor, jobs=jobs, as_json=as_json, resources=resources)
