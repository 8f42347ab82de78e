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
from hpcexp.cli.search_view import describe_new, describe_state

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
    from hpcexp.launch.searching import advance_search, take_up_search

    take_up_search(experiment)
    wanted = [count]  # asked for once

    def advance_and_tell() -> SearchStep:
        count = wanted.pop() if wanted else None
        step = advance_search(experiment, suggest_samples, count=count)
        if not as_json:
            _echo(describe_new(step))
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
        _echo(describe_state(experiment, end.last))
    click.get_current_context().exit(find_rounds_code(end))


def _echo(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)


def _to_json(experiment: ExperimentDir, step: SearchStep, runs: list[str]) -> dict[str, Any]:
    return {
        "experiment": str(experiment.path),
        "runs": runs,
        "num_samples": step.num_samples,
        "count": step.space.count,
        "is_over": step.is_over,
        "is_cancelled": step.is_cancelled,
        "waiting_for": {name: str(status.state) for name, status in step.waiting.items()},
        "failed": step.failed,
        "refused": step.refused,
    }
