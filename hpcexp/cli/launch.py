"""`hpcexp launch`, `resume` and `cancel`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcexp.cli.options import (
    executor_options,
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    make_console,
    pick_executor,
    print_json,
    resolve_experiments_dir,
    runs_argument,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcexp.store.layout import ExperimentDir


@click.command()
@click.argument("template_path", metavar="TEMPLATE", type=click.Path(path_type=Path))
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
    template_path: Path,
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
    from hpcexp.launch.executors import EXECUTORS
    from hpcexp.launch.prepare import check_groups, prepare
    from hpcexp.template import load_template

    template = load_template(
        template_path,
        profile=profile,
        overrides=overrides,
        rand_inits=rand_inits,
        name=name,
    )
    check_groups(template, only)
    executor = pick_executor(slurm=slurm, local=local, inline=inline)
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
    EXECUTORS[executor].check()
    experiment = prepare(template, experiments_dir=directory, only=only)
    _train(experiment, _choose_all(experiment), executor=executor, jobs=jobs, as_json=as_json)


@click.command()
@experiment_argument
@runs_argument
@executor_options
@json_option
@experiments_dir_option
def resume(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Train what is unfinished, from the last checkpoints.

    Finished runs are never touched, runs that somebody works on are left alone, and so are
    cancelled ones unless they are named.
    """
    from hpcexp.launch.resume import make_resumable_chooser

    experiment = find(experiment_name, experiments_dir)
    executor = pick_executor(slurm=slurm, local=local, inline=inline)
    choose = make_resumable_chooser(experiment, runs)
    _train(experiment, choose, executor=executor, jobs=jobs, as_json=as_json)


@click.command()
@experiment_argument
@runs_argument
@json_option
@experiments_dir_option
def cancel(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """End runs, after a checkpoint.

    Waiting runs end at once, training ones at their next step. `hpcexp resume EXP_DIR RUN`
    continues them.
    """
    from hpcexp.launch.cancel import cancel as cancel_runs

    experiment = find(experiment_name, experiments_dir)
    cancelled = cancel_runs(experiment, runs)
    if as_json:
        print_json(asdict(cancelled))
        return
    if not cancelled.ended and not cancelled.stopping:
        click.echo("nothing to cancel: every run has ended")
    if cancelled.ended:
        click.echo(f"cancelled  {_count_runs(len(cancelled.ended))} that had not begun")
    if cancelled.stopping:
        click.echo(f"stopping   {_count_runs(len(cancelled.stopping))}, after a checkpoint")
    if cancelled.ended or cancelled.stopping:
        click.echo(f"undo       hpcexp resume {experiment.name} RUN...")


def _choose_all(experiment: ExperimentDir) -> Callable[[], list[str]]:
    from hpcexp.store.experiment import read_plan

    return lambda: [run.name for run in read_plan(experiment).runs]


def _train(
    experiment: ExperimentDir,
    choose: Callable[[], list[str]],
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
) -> None:
    from hpcexp.cli.progress import ProgressDisplay
    from hpcexp.launch.executor import LaunchOptions
    from hpcexp.launch.submit import submit_runs

    options = LaunchOptions(num_jobs=jobs)
    if executor == "local" and not as_json:
        with ProgressDisplay(experiment, make_console()) as display:
            shown = replace(options, on_tick=display.update, on_interrupt=display.show_interrupt)
            names, done = submit_runs(experiment, choose, executor=executor, options=shown)
    else:
        names, done = submit_runs(experiment, choose, executor=executor, options=options)
    _report(experiment, names, executor=executor, done=done, as_json=as_json)


def _report(
    experiment: ExperimentDir,
    names: list[str],
    *,
    executor: str,
    done: bool,
    as_json: bool,
) -> None:
    from hpcexp.cli.outcome import describe_outcome, describe_submission, find_exit_code
    from hpcexp.launch.executors import EXECUTORS
    from hpcexp.store.submissions import read_submissions

    is_detached = EXECUTORS[executor].is_detached
    if as_json:
        last = read_submissions(experiment)[-1:]
        jobs = [job_id for submission in last if names for job_id in submission.job_ids]
        print_json({"experiment": str(experiment.path), "runs": names, "jobs": jobs})
    elif not names:
        click.echo("nothing to do: every run has ended or is being worked on")
    elif is_detached:
        click.echo(describe_submission(experiment, len(names)))
    else:
        click.echo(describe_outcome(experiment, names, done=done))
    if names and not is_detached:
        click.get_current_context().exit(find_exit_code(experiment, names, done=done))


def _count_runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
