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
from hpcexp.cli.outcome import FAILED_EXIT_CODE, INTERRUPTED_EXIT_CODE
from hpcexp.cli.training import hand_runs, report
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
    from hpcexp.launch.executor import DetachedExecutor
    from hpcexp.launch.executors import EXECUTORS

    is_detached = isinstance(EXECUTORS[executor], DetachedExecutor)
    runs: list[str] = []
    code = 0
    while True:
        step = advance(experiment, take_look)
        if step.taken and not as_json:
            click.echo("\n".join(line for look in step.taken for line in describe_look(look)))
        if step.deciding.is_over:
            break
        handed = hand_runs(
            experiment,
            choose or _make_chooser(experiment, step),
            executor=executor,
            jobs=jobs,
            quiet=as_json,
            resources=resources,
        )
        runs += handed.run_names
        if not as_json and (handed.run_names or handed.submissions):
            report(experiment, handed, executor=executor, as_json=False, details={})
        if is_detached or not handed.is_done or not (handed.run_names or choose):
            code = 0 if is_detached else FAILED_EXIT_CODE
            code = code if handed.is_done else INTERRUPTED_EXIT_CODE
            break
        choose = None
    _report_state(experiment, step, runs, as_json=as_json)
    click.get_current_context().exit(code)


def _make_chooser(experiment: ExperimentDir, step: Step) -> Callable[[], list[str]]:
    """Chooses the runs of the next look that nobody has tried, or works on."""
    from hpcexp.launch.resume import Choice, make_chooser
    from hpcexp.store.status import State

    untried = [n for n, status in step.waiting.items() if status.state == State.PENDING]
    if not untried:
        return list
    return make_chooser(experiment, Choice(untried, (State.PENDING,)))


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
