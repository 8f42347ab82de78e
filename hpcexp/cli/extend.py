"""`hpcexp extend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    executor_options,
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    pick_executor,
    print_json,
)
from hpcexp.cli.site import use_site_of
from hpcexp.cli.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcexp.launch.extend import Change, Request
    from hpcexp.store.layout import ExperimentDir

_MAX_GROUPS_SHOWN = 12


@click.command()
@experiment_argument
@click.option(
    "--rand-inits",
    type=click.IntRange(min=1),
    help="Random initialisations of each group, those there are included.",
)
@click.option(
    "--only",
    metavar="GROUP",
    multiple=True,
    help="More initialisations of this group only; several with commas. Repeatable.",
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Train longer: max_epoch=9000, or max_step. Repeatable.",
)
@click.option(
    "--add-group",
    "groups",
    metavar="KEY=VALUE,...",
    multiple=True,
    help="Add a group: a value of every axis, and of other hyperparameters. Repeatable.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="Samples of the sampled axes, those there are included.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="Add initialisations by a plan of looks, until every comparison is decided.",
)
@click.option(
    "--max-rand-inits",
    type=click.IntRange(min=3),
    default=64,
    help="With --until-decided: the most initialisations of a group, in all.",
)
@click.option(
    "--looks",
    "num_looks",
    type=click.IntRange(min=2, max=20),
    default=4,
    help="With --until-decided: looks in all; the runs at hand are the first.",
)
@click.option(
    "--spending",
    type=click.Choice(["quadratic", "obrien_fleming", "pocock"]),
    default="quadratic",
    help="With --until-decided: how much of the level earlier looks may spend.",
)
@click.option(
    "--futility",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    help="With --until-decided: give up pairs with a smaller chance to be decided; 0: none.",
)
@executor_options
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@json_option
@experiments_dir_option
def extend(
    *,
    experiment_name: str,
    rand_inits: int | None,
    only: tuple[str, ...],
    settings: tuple[str, ...],
    groups: tuple[str, ...],
    samples: int | None,
    until_decided: bool,
    max_rand_inits: int,
    num_looks: int,
    spending: str,
    futility: float,
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Add to an experiment, and train what was added.

    New initialisations continue the numbering and the seeds; runs that train are left alone.
    Longer training goes on from the last checkpoints, and is refused where something depends on
    the length of the whole run, such as a schedule: that is another group. A new group gets the
    initialisations of the others. More samples continue the sequence: those there are stay.

    With --until-decided, looks at rising numbers of runs decide which pairs of groups get more:
    docs/statistics.md. The plan is written down before the first added run, and holds the level
    of all comparisons and looks together.

    The template as it was launched counts, not what its file says today.

    Examples:

    \b
      hpcexp extend xj_batch_size --rand-inits 16 --only batch_size=16,batch_size=32
      hpcexp extend max_epoch --set max_epoch=9000 --dry-run
      hpcexp extend rnn_width --add-group rnn_width=64 --add-group rnn_width=64,lr=5e-4
      hpcexp extend lr_and_width --samples 128
      hpcexp extend xj_k --until-decided --max-rand-inits 64
    """
    from hpcexp.errors import HpcexpError
    from hpcexp.launch.executors import EXECUTORS
    from hpcexp.launch.extend import Request
    from hpcexp.launch.extend import extend as extend_experiment
    from hpcexp.launch.resume import Choice, make_chooser

    experiment = find(experiment_name, experiments_dir)
    executor = pick_executor(experiment, slurm=slurm, local=local, inline=inline)
    request = Request(rand_inits, only, settings, groups, samples)
    if until_decided:
        from hpcexp.analysis.looks import LookOptions
        from hpcexp.cli.deciding import decide

        _check_alone(request)
        options = LookOptions(max_rand_inits, num_looks, spending, futility)
        EXECUTORS[executor].check(experiment.path.parent)
        decide(experiment, options, executor=executor, jobs=jobs, as_json=as_json, dry_run=dry_run)
        return
    _check_no_look_options()
    resources = use_site_of(experiment)
    if dry_run:
        _show_plans(experiment, request, executor=executor, jobs=jobs, as_json=as_json)
        return
    EXECUTORS[executor].check(experiment.path.parent)
    change = extend_experiment(experiment, request)
    if not as_json:
        click.echo("\n".join(_describe(experiment, change)))
    if not change.run_names:
        if as_json:
            print_json(_to_json(experiment, change))
        return
    choose = make_chooser(experiment, Choice(change.run_names))
    try:
        train(
            experiment,
            choose,
            executor=executor,
            jobs=jobs,
            as_json=as_json,
            resources=resources,
            details=_to_json(experiment, change),
        )
    except HpcexpError:
        click.echo(
            "the experiment is extended, but not all of it was submitted; once what follows is "
            f"mended: hpcexp resume {experiment.name}",
            err=True,
        )
        raise


def _check_alone(request: Request) -> None:
    from hpcexp.errors import UsageError

    if request != type(request)(None, (), (), ()):
        raise UsageError(
            "--until-decided chooses groups and numbers by itself: leave out --rand-inits, --only, "
            "--set, --add-group and --samples"
        )


def _check_no_look_options() -> None:
    """Options of looks without looks would be ignored without a word."""
    from hpcexp.errors import UsageError

    context = click.get_current_context()
    for name in ("max_rand_inits", "num_looks", "spending", "futility"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--looks" if name == "num_looks" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} goes with --until-decided; give both, or neither")


def _show_plans(
    experiment: ExperimentDir, request: Any, *, executor: str, jobs: int | None, as_json: bool
) -> None:
    from hpcexp.launch.executor import DetachedExecutor, LaunchOptions
    from hpcexp.launch.executors import EXECUTORS
    from hpcexp.launch.extend import plan_change
    from hpcexp.launch.plan import bundle_runs, find_planned_keys
    from hpcexp.launch.submit import read_resources

    change = plan_change(experiment, request)
    if as_json:
        print_json(_to_json(experiment, change))
        return
    options, resources = LaunchOptions(num_jobs=jobs), read_resources(change.plan)
    click.echo("\n".join(_describe(experiment, change)))
    if change.run_names:
        place = EXECUTORS[executor]
        num_jobs = resources.max_jobs if isinstance(place, DetachedExecutor) else None
        key_of = find_planned_keys(change.plan)
        bundles = bundle_runs(change.run_names, resources, key_of=key_of, num_jobs=num_jobs)
        click.echo(place.describe(bundles, resources, options))
    click.echo("nothing was changed")


def _describe(experiment: ExperimentDir, change: Change) -> Iterator[str]:
    counts = [
        *([_count(len(change.new_runs), "new run")] if change.new_runs else []),
        *([f"{_count(len(change.continued.runs), 'run')} to go on"] if change.longer else []),
    ]
    yield f"{experiment.name}: {', '.join(counts)}"
    new = set(change.new_runs)
    many = change.new_groups if len(change.new_groups) > _MAX_GROUPS_SHOWN else ()
    if many:
        yield f"  {many[0]} to {many[-1]}   {len(many)} new groups"
    for group, runs in change.plan.list_members().items():
        if group in many:
            continue
        num_new = sum(run.name in new for run in runs)
        if group in change.new_groups:
            yield f"  {group}   new group, {_count(len(runs), 'initialisation')}"
        elif num_new:
            yield f"  {group}   {len(runs) - num_new} -> {len(runs)} initialisations"
    if change.longer is not None:
        yield from _describe_longer(change)
    for note in change.notes:
        yield f"! {note}"


def _describe_longer(change: Change) -> Iterator[str]:
    continued = change.continued
    budget = ", ".join(f"{name}={value}" for name, value in change.budget.items())
    if continued.runs:
        first, last = _span(continued, "epoch"), _span(continued, "num_epochs")
        yield f"  {budget}   from epoch {first} to {last}"
    else:
        yield f"  {budget}"
    if continued.num_ended:
        yield (
            f"  {_count(continued.num_ended, 'run')} ended before the budget did, and would end "
            "there again: left as it is"
        )
    if continued.unfinished:
        yield (
            f"  {_count(len(continued.unfinished), 'unfinished run')} will train as long, too: "
            "hpcexp resume, or retry"
        )


def _span(continued: Any, name: str) -> str:
    values = sorted({ended[name] for ended in continued.runs.values()})
    return str(values[0]) if len(values) == 1 else f"{values[0]}-{values[-1]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _to_json(experiment: ExperimentDir, change: Change) -> dict[str, Any]:
    return {
        "experiment": str(experiment.path),
        "new_groups": change.new_groups,
        "new_runs": change.new_runs,
        "budget": change.budget,
        "continued": change.continued.runs,
        "unfinished": change.continued.unfinished,
        "num_ended": change.continued.num_ended,
        "notes": change.notes,
    }
