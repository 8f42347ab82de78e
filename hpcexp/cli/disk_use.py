"""`hpcexp du`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from hpcexp.cli.sizes import count, format_bytes

if TYPE_CHECKING:
    from hpcexp.launch.disk_use import DiskUse


@click.command()
@click.argument(
    "experiment_names", metavar="[EXP_DIR]...", nargs=-1, shell_complete=complete_experiment
)
@json_option
@experiments_dir_option
def du(*, experiment_names: tuple[str, ...], as_json: bool, experiments_dir: Path | None) -> None:
    """Say what experiments weigh: checkpoints, metrics, logs, code; and what `clean` would free.

    The heaviest first; without a name every experiment, archives and the trash included. Sizes are
    those of the files; 1 kB is 1000 B.

    Examples:

    \b
      hpcexp du
      hpcexp du max_epoch --json
    """
    from hpcexp.launch.clean import find_freeable
    from hpcexp.launch.disk_use import measure
    from hpcexp.launch.trash import list_thrown
    from hpcexp.store.find import list_archived, list_experiments

    directory = resolve_experiments_dir(experiments_dir)
    chosen = [find(name, directory, quiet=as_json) for name in experiment_names]
    experiments = list({e.path: e for e in chosen}.values()) or list_experiments(directory)
    used = sorted(map(measure, experiments), key=lambda use: use.total, reverse=True)
    freeable = {
        found.experiment.name: found.num_bytes for found in find_freeable(experiments).experiments
    }
    rest = not experiment_names
    archived = [(e.name, e.place.stat().st_size) for e in list_archived(directory)] if rest else []
    trash = sum(measure(t.experiment).total for t in list_thrown(directory)) if rest else 0
    if as_json:
        print_json(
            {
                "experiments": [
                    {
                        "experiment": str(use.experiment.path),
                        "num_bytes": dict(use.num_bytes),
                        "total": use.total,
                        "num_files": use.num_files,
                        "freeable": freeable.get(use.experiment.name, 0),
                    }
                    for use in used
                ],
                "archives": [{"name": name, "num_bytes": size} for name, size in archived],
                "trash": trash,
            }
        )
        return
    if not used and not archived:
        click.echo(f"there are no experiments in {directory}/")
    if used:
        _print_table(used, freeable)
    for name, size in archived:
        click.echo(f"archive  {name}  {format_bytes(size)}")
    if sum(freeable.values()):
        click.echo("\nclean frees that much: hpcexp clean EXP_DIR")
    if trash:
        click.echo(f"trash    {format_bytes(trash)}: hpcexp rm --empty-trash")


def _print_table(used: Sequence[DiskUse], freeable: dict[str, int]) -> None:
    from rich.table import Table

    from hpcexp.launch.disk_use import PARTS

    shown = [part for part in PARTS if any(use.num_bytes[part] for use in used)]
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("experiment", overflow="fold")
    for header in (*shown, "all", "files", "clean frees"):
        table.add_column(header, justify="right", no_wrap=True)
    for use in used:
        free = freeable.get(use.experiment.name, 0)
        table.add_row(
            use.experiment.name,
            *(_spell(use.num_bytes[part]) for part in shown),
            format_bytes(use.total),
            str(use.num_files),
            _spell(free),
        )
    if len(used) > 1:
        sums = [sum(use.num_bytes[part] for use in used) for part in shown]
        table.add_row(
            count(len(used), "experiment"),
            *map(_spell, sums),
            format_bytes(sum(sums)),
            str(sum(use.num_files for use in used)),
            _spell(sum(freeable.values())),
        )
    make_console().print(table)


def _spell(number: int) -> str:
    return format_bytes(number) if number else "-"
