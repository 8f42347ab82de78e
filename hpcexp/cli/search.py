"""`hpcexp search`, and what the commands share that go on with a search."""

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
from hpcexp.cli.rounds import find_rounds_code, train_in_rounds
from hpcexp.cli.sizes import count as count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hpcexp.launch.searching import SearchStep
    from hpcexp.store.layout import ExperimentDir


@click.command()
@experiment_argument
@click.option(
    "--samples",
    "count",
    type=click.IntRange(min=1),
    help="Another number of samples in all.  [default: the template's count]",
)
@executor_options
@json_option
@experiments_dir_option
def search(
    *,
    experiment_name: str,
    count: int | None,
    slurm: bool,
    local: bool,
    inline: bool,
    jobs: int | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Go on with a search that learns from results (method: tpe).

    Tells Optuna what all samples came to, asks for the next, and trains them: here until all are
    made; on a cluster a small job goes on when their jobs have ended. Typing it does no harm,
    however often. docs/searches.md tells the rest.

    Examples:

    \b
      hpcexp search latest
      hpcexp search lr_and_width --samples 128
    """
    from hpcexp.analysis.searching import require_optuna
    from hpcexp.launch.executors import EXECUTORS

    executor = pick_executor(slurm=slurm, local=local, inline=inline)
    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    require_optuna()
    EXECUTORS[executor].check(experiment.path.parent)
    go_on_searching(experiment, executor=executor, jobs=jobs, as_json=as_json, count=count)


def go_on_searching(
    experiment: ExperimentDir,
    *,
    executor: str,
    jobs: int | None,
    as_json: bool,
    choose: Callable[[], list[str]] | None = None,
    resources: Mapping[str, Any] | None = None,
    count: int | None = None,
) -> None:
    """Train what the search has made, make what is next, and so on until all samples are made.

    `choose` names the runs of the first round, where somebody asked for some; else they are
    those that nobody has tried yet.
    """
    from hpcexp.analysis.searching import suggest_samples
    from hpcexp.launch.searching import advance_search

    wanted = [count]  # asked for once

    def advance_and_tell() -> SearchStep:
        count = wanted.pop() if wanted else None
        step = advance_search(experiment, suggest_samples, count=count)
        if not as_json:
            _echo(_describe_new(step))
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
    if as_json:
        print_json(_to_json(experiment, end.last, end.runs))
    else:
        _echo(_describe_state(experiment, end.last))
    click.get_current_context().exit(find_rounds_code(end))


def _echo(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)


def _describe_new(step: SearchStep) -> Iterator[str]:
    from hpcexp.template import show

    if step.refused:
        yield (
            f"! {count_of(len(step.refused), 'sample')} that the workload refuses, others were "
            f"drawn instead: {step.refused[0]}"
        )
    if step.new:
        yield f"{step.num_samples} of {step.space.count} samples; new:"
    for group in step.new:
        values = ", ".join(f"{name}={show(value)}" for name, value in group.values.items())
        yield f"  {group.name}   {values}"


def _describe_state(experiment: ExperimentDir, step: SearchStep) -> Iterator[str]:
    if step.failed:
        more = f" and {len(step.failed) - 1} more" if len(step.failed) > 1 else ""
        yield f"! {step.failed[0]}{more} failed or was given up: nothing was learnt from it"
    if step.is_over:
        yield f"all {step.num_samples} samples have ended"
        yield f"results   hpcexp plot {experiment.name}"
        return
    num_left = step.space.count - step.num_samples
    if num_left:
        yield (
            f"{num_left} samples are to come when {len(step.waiting)} runs have ended; "
            f"hpcexp search {experiment.name} goes on if nothing else does"
        )


def _to_json(experiment: ExperimentDir, step: SearchStep, runs: list[str]) -> dict[str, Any]:
    return {
        "experiment": str(experiment.path),
        "runs": runs,
        "num_samples": step.num_samples,
        "count": step.space.count,
        "is_over": step.is_over,
        "waiting_for": {name: str(status.state) for name, status in step.waiting.items()},
        "failed": step.failed,
        "refused": step.refused,
    }
