"""`hpcexp reproduce`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    complete_experiment,
    complete_run,
    experiments_dir_option,
    find,
    json_option,
    make_console,
    print_json,
)

if TYPE_CHECKING:
    from hpcexp.launch.compare import Change, Comparison
    from hpcexp.launch.reproduce import Original, Verdict
    from hpcexp.store.layout import ExperimentDir, RunDir

DIFFERENT_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
MAX_CHANGES_SHOWN = 12
MAX_METRICS_SHOWN = 5


@click.command()
@click.argument(
    "experiment_name", metavar="[EXP_DIR]", required=False, shell_complete=complete_experiment
)
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the new experiment is made.  [default: reproduced/ beside the original]",
)
@click.option(
    "--compare",
    "compared",
    metavar="EXP_DIR",
    help="Train nothing: compare a reproduction that was made before with its original.",
)
@json_option
@experiments_dir_option
def reproduce(
    *,
    experiment_name: str | None,
    run_name: str | None,
    to: Path | None,
    compared: str | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Train a run again with the code of its launch, and compare every number.

    A new experiment is made of this one run: its configuration, its code, its number of
    threads. It is trained here, and each row of metrics is compared with the original's as far
    as both go. What differs between the machines and packages is listed.

    Exits with 0 where all rows are identical, bit for bit, and with 1 where they are not.

    Examples:

    \b
      hpcexp reproduce max_epoch rnn_width=48_rand_1
      hpcexp reproduce max_epoch rnn_width=48_rand_1 --to /scratch/again
      hpcexp reproduce --compare experiments/reproduced/2022_m12_d14@14_58_06_max_epoch
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.reproduce import find_original, find_reproduced, judge, rebuild

    is_done = True
    if compared is not None:
        if experiment_name or to:
            raise UsageError("--compare EXP_DIR goes with neither another EXP_DIR nor --to")
        then, now = find_reproduced(find(compared, experiments_dir, quiet=as_json))
    elif not experiment_name or not run_name:
        raise UsageError("give an experiment and one of its runs: hpcexp reproduce EXP_DIR RUN")
    else:
        experiment = find(experiment_name, experiments_dir, quiet=as_json)
        original = find_original(experiment, run_name)
        made = rebuild(original, directory=to or original.default_dir)
        _announce(original, is_quiet=as_json)
        then, now = original.run_dir, made.run(run_name)
        is_done = _train(made, run_name, is_quiet=as_json)
    verdict = judge(then, now)
    if as_json:
        print_json(_to_json(verdict))
    else:
        click.echo(_describe(verdict))
    code = 0 if verdict.is_identical else DIFFERENT_EXIT_CODE
    click.get_current_context().exit(code if is_done else INTERRUPTED_EXIT_CODE)


def _announce(original: Original, *, is_quiet: bool) -> None:
    snapshot, continued_from = original.snapshot, original.status.continued_from
    if continued_from:
        click.echo(
            f"! the original ended at step {continued_from['step']} once, and was extended: a row "
            "of that end may be one that the reproduction has not",
            err=True,
        )
    if snapshot is None:
        click.echo(
            "! the experiment has no copy of its code: the run is trained with that of today",
            err=True,
        )
        return
    if not is_quiet:
        places = [snapshot.tree or snapshot.package, *(f.path for f in snapshot.further if f.copy)]
        origin = " and of ".join(str(place) for place in places if place)
        click.echo(f"code        {snapshot.label}, {snapshot.num_files} files of {origin}")
    if snapshot.problem:
        click.echo(f"! at launch: {snapshot.problem}", err=True)


def _train(experiment: ExperimentDir, run_name: str, *, is_quiet: bool) -> bool:
    """Train in a process of its own; whether it was let go on to the end."""
    from hpcexp.cli.progress import ProgressDisplay
    from hpcexp.launch.executor import LaunchOptions
    from hpcexp.launch.submit import Wish, submit_runs

    if is_quiet:
        return submit_runs(experiment, lambda: [run_name], Wish("local")).is_done
    with ProgressDisplay(experiment, make_console()) as display:
        options = LaunchOptions(on_tick=display.update, on_interrupt=display.show_interrupt)
        return submit_runs(experiment, lambda: [run_name], Wish("local", options)).is_done


def _describe(verdict: Verdict) -> str:
    comparison = verdict.comparison
    rows, metrics = comparison.num_rows, comparison.num_metrics
    if verdict.is_identical:
        lines = [f"identical: {_count(rows, 'row')} of {_count(metrics, 'metric')}, bit for bit"]
        if comparison.num_rows_then != comparison.num_rows_now:
            lines.append(
                f"  the original has {_count(comparison.num_rows_then, 'row')}, "
                f"the reproduction {comparison.num_rows_now}"
            )
    elif comparison.is_equal:
        lines = [f"different: {verdict.problem}; the first {_count(rows, 'row')} are identical"]
    else:
        lines = _describe_difference(comparison)
        lines += [f"  {verdict.problem}"] if verdict.problem else []
    lines += _describe_changes(verdict)
    lines.append(f"original    {verdict.original.path}")
    lines.append(f"made again  {verdict.reproduction.path}")
    if _is_cut_short(verdict.reproduction):
        place = verdict.reproduction.experiment.path
        lines.append(f"continue    hpcexp resume {place}")
        lines.append(f"and then    hpcexp reproduce --compare {place}")
    return "\n".join(lines)


def _describe_difference(comparison: Comparison) -> list[str]:
    lines = []
    found = comparison.difference
    if found is not None:
        lines += [
            f"different: {comparison.num_rows_differing} of {_count(comparison.num_rows, 'row')}, "
            f"by up to {comparison.largest:.2g} (relative)",
            f"  first in row {found.row} (epoch {found.epoch}, step {found.step}, {found.split}): "
            f"{found.metric} was {found.then:.9g} and is {found.now:.9g} "
            f"(relative {found.relative:.2g})",
        ]
    elif not comparison.num_rows:
        lines.append("different: there is nothing to compare")
    else:
        lines.append("different: the metrics are not the same ones")
    for verb, names in (("missing", comparison.only_then), ("new", comparison.only_now)):
        if names:
            rest = ", ..." if len(names) > MAX_METRICS_SHOWN else ""
            lines.append(f"  {verb} metrics: {', '.join(names[:MAX_METRICS_SHOWN])}{rest}")
    return lines


def _describe_changes(verdict: Verdict) -> list[str]:
    changes: tuple[Change, ...] = verdict.changes
    if not changes:
        return ["surroundings: the same device, threads, Python and packages, as far as known"]
    lines = ["surroundings that differ:"]
    width = max(len(change.what) for change in changes[:MAX_CHANGES_SHOWN])
    for change in changes[:MAX_CHANGES_SHOWN]:
        lines.append(f"  {change.what:<{width}}  was {change.then}, is {change.now}")
    if len(changes) > MAX_CHANGES_SHOWN:
        lines.append(f"  and {len(changes) - MAX_CHANGES_SHOWN} more: --json lists them all")
    return lines


def _is_cut_short(run_dir: RunDir) -> bool:
    from hpcexp.store.status import CUT_SHORT, read_status

    return read_status(run_dir).state in CUT_SHORT


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _to_json(verdict: Verdict) -> dict[str, Any]:
    comparison = verdict.comparison
    found = comparison.difference
    return {
        "identical": verdict.is_identical,
        "problem": verdict.problem,
        "original": str(verdict.original.path),
        "reproduction": str(verdict.reproduction.path),
        "num_rows": comparison.num_rows,
        "num_rows_then": comparison.num_rows_then,
        "num_rows_now": comparison.num_rows_now,
        "num_metrics": comparison.num_metrics,
        "first_difference": None
        if found is None
        else {**_spell_values(asdict(found)), **_spell_values({"relative": found.relative})},
        "num_rows_differing": comparison.num_rows_differing,
        **_spell_values({"largest_relative_difference": comparison.largest}),
        "metrics_only_then": list(comparison.only_then),
        "metrics_only_now": list(comparison.only_now),
        "surroundings": [asdict(change) for change in verdict.changes],
    }


def _spell_values(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for values that are not finite."""
    import math

    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
