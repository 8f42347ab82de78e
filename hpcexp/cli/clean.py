"""`hpcexp clean`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    complete_experiment,
    experiments_dir_option,
    find,
    json_option,
    make_console,
    print_json,
    resolve_experiments_dir,
)
from hpcexp.cli.sizes import count, format_bytes, showing_bar

if TYPE_CHECKING:
    from hpcexp.launch.clean import Freeable, Freed
    from hpcexp.store.layout import ExperimentDir

MAX_LISTED = 5
PROBLEM_EXIT_CODE = 1
DECLINED_EXIT_CODE = 1


@click.command()
@click.argument(
    "experiment_names", metavar="[EXP_DIR]...", nargs=-1, shell_complete=complete_experiment
)
@click.option(
    "--all-but",
    "spared_names",
    metavar="EXP_DIR",
    multiple=True,
    shell_complete=complete_experiment,
    help="Every experiment but this one. Repeatable.",
)
@click.option("--kept", is_flag=True, help="Also parameters that were kept on purpose (kept/).")
@click.option("--force", is_flag=True, help="Also what other experiments start from.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")
@json_option
@experiments_dir_option
def clean(
    *,
    experiment_names: tuple[str, ...],
    spared_names: tuple[str, ...],
    kept: bool,
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Free the checkpoints of finished runs, and what killed commands left behind.

    Results are never touched: metrics, statuses, logs, figures, what eval found. Nor are runs
    that have not ended of their own, or runs that other experiments start from. Says first what
    it would free. Without any experiment, only left-overs: directories of launches that were
    killed, and files that were never finished, after a day.

    Examples:

    \b
      hpcexp clean max_epoch --dry-run
      hpcexp clean --all-but latest --all-but max_epoch
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.clean import find_freeable

    directory = resolve_experiments_dir(experiments_dir)
    chosen = _choose(experiment_names, spared_names, directory, quiet=as_json)
    parents = {e.path.parent.resolve(): None for e in chosen} or {directory: None}
    freeable = find_freeable(chosen, directories=list(parents), kept=kept, force=force)
    if not as_json:
        _show(freeable, has_experiments=bool(chosen))
    if dry_run or not freeable.num_files:
        _finish(freeable, None, as_json=as_json)
        return
    if not yes and (as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise UsageError("nothing was freed: there is nobody to ask; --yes frees it")
    if not yes and not click.confirm(f"free {format_bytes(freeable.num_bytes)}?"):
        click.echo("nothing was freed")
        click.get_current_context().exit(DECLINED_EXIT_CODE)
    _free(freeable, as_json=as_json)


def _choose(
    names: tuple[str, ...], spared_names: tuple[str, ...], directory: Path, *, quiet: bool
) -> list[ExperimentDir]:
    """The experiments that are named, or all but those; each once.

    Raises UsageError where one is not found, or both ways are used.
    """
    from hpcexp.errors import UsageError
    from hpcexp.store.find import list_experiments

    if names and spared_names:
        raise UsageError("name experiments, or spare some with --all-but: not both")
    if spared_names:
        spared = {find(name, directory, quiet=quiet).path.resolve() for name in spared_names}
        return [e for e in list_experiments(directory) if e.path.resolve() not in spared]
    found = [find(name, directory, quiet=quiet) for name in names]
    return list({experiment.path.resolve(): experiment for experiment in found}.values())


def _show(freeable: Freeable, *, has_experiments: bool) -> None:
    console = make_console()
    if has_experiments:
        console.print(_render(freeable))
    for left_over in freeable.left_overs:
        click.echo(f"left over  {left_over.path}  {format_bytes(left_over.num_bytes)}")
    for problem in freeable.problems:
        click.echo(f"! {problem}")
    unfinished = sum(e.num_unfinished for e in freeable.experiments)
    if unfinished:
        click.echo(f"{count(unfinished, 'unfinished run')} stay as they are")
    needed = {name for run in freeable.protected for name in run.needed_by}
    if needed:
        num_bytes = sum(run.num_bytes for run in freeable.protected)
        click.echo(
            f"{count(len(freeable.protected), 'run')} ({format_bytes(num_bytes)}) stay as they "
            f"are, since others start from them: {', '.join(sorted(needed)[:MAX_LISTED])}; "
            "--force frees them as well"
        )
    if any(e.runs for e in freeable.experiments):
        click.echo(
            "afterwards these runs cannot be looked into (hpcexp eval), trained longer "
            "(hpcexp extend) or started from (warm_start)"
        )
    if not freeable.num_files:
        click.echo("there is nothing to free")


def _render(freeable: Freeable) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("experiment", overflow="fold")
    for header in ("runs", "files", "size"):
        table.add_column(header, justify="right", no_wrap=True)
    for found in freeable.experiments:
        size = format_bytes(found.num_bytes)
        table.add_row(found.experiment.name, str(len(found.runs)), str(found.num_files), size)
    if len(freeable.experiments) > 1:
        runs = sum(len(e.runs) for e in freeable.experiments)
        files = sum(e.num_files for e in freeable.experiments)
        size = format_bytes(sum(e.num_bytes for e in freeable.experiments))
        table.add_row("all", str(runs), str(files), size)
    return table


def _free(freeable: Freeable, *, as_json: bool) -> None:
    from hpcexp.launch.clean import free

    with showing_bar("freeing", is_quiet=as_json) as bar:
        bar.set_total(freeable.num_files)
        freed = free(freeable, on_files=bar.advance)
    _finish(freeable, freed, as_json=as_json)
    if freed.spared:
        click.get_current_context().exit(PROBLEM_EXIT_CODE)


def _finish(freeable: Freeable, freed: Freed | None, *, as_json: bool) -> None:
    if as_json:
        print_json(_to_json(freeable, freed))
    elif freed is None:
        click.echo("nothing was freed" if freeable.num_files else "")
    else:
        for reason in freed.spared[:MAX_LISTED]:
            click.echo(f"! {reason}")
        if len(freed.spared) > MAX_LISTED:
            click.echo(f"! and {len(freed.spared) - MAX_LISTED} more")
        click.echo(f"freed {format_bytes(freed.num_bytes)} in {count(freed.num_files, 'file')}")


def _to_json(freeable: Freeable, freed: Freed | None) -> dict[str, Any]:
    return {
        "experiments": [
            {
                "experiment": str(found.experiment.path),
                "num_runs": len(found.runs),
                "num_files": found.num_files,
                "num_bytes": found.num_bytes,
                "num_unfinished": found.num_unfinished,
            }
            for found in freeable.experiments
        ],
        "left_overs": [
            {"path": str(x.path), "num_files": x.num_files, "num_bytes": x.num_bytes}
            for x in freeable.left_overs
        ],
        "protected": [
            {"run": str(run.run_dir.path), "needed_by": list(run.needed_by)}
            for run in freeable.protected
        ],
        "problems": list(freeable.problems),
        "is_freed": freed is not None,
        "num_files_freed": freed.num_files if freed else 0,
        "num_bytes_freed": freed.num_bytes if freed else 0,
        "spared": list(freed.spared) if freed else [],
    }
