"""What the commands share that decide an experiment by several looks."""

from __future__ import annotations

import getpass
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.deciding_view import (
    describe_end,
    describe_look,
    describe_plan,
    describe_use,
    describe_wait,
    estimate_use,
)
from hpcexp.cli.options import print_json
from hpcexp.cli.rounds import find_rounds_code, train_in_rounds
from hpcexp.errors import HpcexpError
from hpcexp.launch.standings import spell_looks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcexp.analysis.looks import LookOptions
    from hpcexp.launch.deciding import Step
    from hpcexp.store.deciding import DecidingPlan
    from hpcexp.store.layout import ExperimentDir


def decide(
    experiment: ExperimentDir,
    options: LookOptions,
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Make a plan of looks, write it down, and begin."""
    from hpcexp.analysis.looks import make_deciding_plan
    from hpcexp.launch.deciding import begin_deciding, check_deciding
    from hpcexp.store.experiment import read_plan

    made = make_deciding_plan(
        experiment,
        read_plan(experiment),
        options,
        command=shlex.join(["hpcexp", *sys.argv[1:]]),
        user=getpass.getuser(),
    )
    if dry_run:
        check_deciding(experiment, made)
        _show_plan(experiment, made, as_json=as_json)
        return
    begin_deciding(experiment, made)
    if not as_json:
        _show_plan(experiment, made, as_json=False, is_written=True)
    try:
        go_on(experiment, executor=executor, jobs=jobs, as_json=as_json)
    except HpcexpError:
        click.echo(
            "the plan of looks is written; once what follows is mended, "
            f"hpcexp resume {experiment.name} goes on",
            err=True,
        )
        raise


def _show_plan(
    experiment: ExperimentDir, made: DecidingPlan, *, as_json: bool, is_written: bool = False
) -> None:
    from hpcexp.analysis.looks import list_levels
    from hpcexp.launch.observe import observe

    levels = list_levels(made)
    observation = observe(experiment)
    num_at_hand = {group: len(runs) for group, runs in observation.plan.list_members().items()}
    use = estimate_use(observation, made, num_at_hand)
    if as_json:
        print_json({"experiment": str(experiment.path), **asdict(made), "levels": levels, **use})
        return
    click.echo(f"{experiment.name}: looks at {spell_looks(made.looks)} initialisations per group")
    click.echo("\n".join(describe_plan(made, levels, num_at_hand=num_at_hand)))
    click.echo("\n".join(describe_use(use)))
    if not is_written:
        click.echo("nothing was changed")


def go_on(
    experiment: ExperimentDir,
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    choose: Callable[[], list[str]] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> None:
    """Take the looks that are due, and submit or train what they ask for.

    On this machine until the experiment is decided; on a cluster the job of the next look goes
    on. `choose` names the runs of the first round, where somebody asked for some; else they are
    those that were not tried yet: what failed or was interrupted waits for somebody.
    """
    from hpcexp.analysis.looks import take_look
    from hpcexp.launch.deciding import advance

    def advance_and_tell() -> Step:
        step = advance(experiment, take_look)
        if step.taken and not as_json:
            click.echo("\n".join(line for look in step.taken for line in describe_look(look)))
        return step

    end = train_in_rounds(
        experiment,
        advance_and_tell,
        executor=executor,
        jobs=jobs,
        as_json=as_json,
        choose=choose,
        resources=resources,
    )
    _report_state(experiment, end.last, end.runs, as_json=as_json)
    click.get_current_context().exit(find_rounds_code(end))


def _report_state(experiment: ExperimentDir, step: Step, runs: list[str], *, as_json: bool) -> None:
    from hpcexp.launch.deciding import require_deciding
    from hpcexp.launch.standings import deciding_to_json

    deciding = require_deciding(experiment)  # with the job that was submitted meanwhile
    if as_json:
        details = deciding_to_json(deciding, step.waiting)
        print_json({"experiment": str(experiment.path), "runs": runs, "deciding": details})
    elif deciding.is_over:
        click.echo("\n".join(describe_end(experiment, deciding)))
    else:
        click.echo("\n".join(describe_wait(experiment, deciding, step.waiting)))
