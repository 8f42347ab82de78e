"""`hpcexp archive`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
    resolve_experiments_dir,
)
from hpcexp.cli.sizes import count, format_bytes, showing_bar

if TYPE_CHECKING:
    from hpcexp.launch.archive import Archived, Wanted
    from hpcexp.store.archive.restoring import Restored
    from hpcexp.store.layout import ExperimentDir


@click.command()
@experiment_argument
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the archive goes; with --restore, the directory that the experiment goes to.  "
    "[default: beside it]",
)
@click.option(
    "--without-checkpoints", is_flag=True, help="Leave checkpoints out: only what was found."
)
@click.option(
    "--remove", is_flag=True, help="Delete the directory, once the archive was read back."
)
@click.option("--restore", is_flag=True, help="The other way: make the directory of an archive.")
@click.option("--force", is_flag=True, help="Remove also what other runs start from.")
@json_option
@experiments_dir_option
def archive(
    *,
    experiment_name: str,
    to: Path | None,
    without_checkpoints: bool,
    remove: bool,
    restore: bool,
    force: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Put an experiment into one file, NAME.tar.zst, or make its directory again.

    Every file is in it with its checksum, and all of it is read back before it gets its name.
    Status, logs and plot read it in place. Refused while runs are being worked on.

    Examples:

    \b
      hpcexp archive max_epoch --remove                         one file instead of thousands
      hpcexp plot max_epoch                                     draws it all the same
      hpcexp archive --restore experiments/2022_m12_d14@14_58_06_max_epoch.tar.zst
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.archive import Wanted

    if restore:
        if without_checkpoints or remove or force:
            raise UsageError("--restore goes with --to only")
        _restore(experiment_name, to, resolve_experiments_dir(experiments_dir), as_json=as_json)
        return
    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    _archive(experiment, Wanted(to, without_checkpoints, remove, force), as_json=as_json)


def _archive(experiment: ExperimentDir, wanted: Wanted, *, as_json: bool) -> None:
    from hpcexp.launch.archive import archive_experiment

    with showing_bar("archiving", is_quiet=as_json) as bar:
        archived = archive_experiment(
            experiment, wanted, on_total=bar.set_total, on_bytes=bar.advance
        )
    if as_json:
        print_json(_archived_to_json(archived))
        return
    manifest = archived.manifest
    click.echo(
        f"{archived.path}: {count(len(manifest.files), 'file')}, "
        f"{format_bytes(manifest.num_bytes)} in {format_bytes(archived.num_bytes)}; "
        "every checksum was read back"
    )
    if manifest.num_files_left_out:
        click.echo(
            f"without   {count(manifest.num_files_left_out, 'checkpoint')} "
            f"({format_bytes(manifest.num_bytes_left_out)})"
        )
    for note in archived.notes:
        click.echo(f"! {note}")
    click.echo(f"{'removed ' if archived.is_removed else 'kept    '}  {experiment.path}")
    click.echo(f"restore   hpcexp archive --restore {archived.path}")


def _archived_to_json(archived: Archived) -> dict[str, Any]:
    manifest = archived.manifest
    return {
        "archive": str(archived.path),
        "experiment": manifest.name,
        "num_files": len(manifest.files),
        "num_bytes": manifest.num_bytes,
        "num_bytes_compressed": archived.num_bytes,
        "num_checkpoints_left_out": manifest.num_files_left_out,
        "states": dict(manifest.states),
        "is_removed": archived.is_removed,
        "notes": list(archived.notes),
    }


def _restore(name: str, to: Path | None, experiments_dir: Path, *, as_json: bool) -> None:
    from hpcexp.store.archive.restoring import restore_archive

    path = _find_archive(name, experiments_dir)
    with showing_bar("restoring", is_quiet=as_json) as bar:
        restored = restore_archive(
            path, directory=to or path.parent, on_total=bar.set_total, on_bytes=bar.advance
        )
    if as_json:
        print_json(_restored_to_json(restored, path))
        return
    manifest = restored.manifest
    click.echo(
        f"{restored.experiment.path}/: {count(len(manifest.files), 'file')}, "
        f"{format_bytes(manifest.num_bytes)}; every checksum is right"
    )
    if manifest.num_files_left_out:
        click.echo(
            f"! archived without its {count(manifest.num_files_left_out, 'checkpoint')}: the runs "
            "cannot be looked into, continued or started from"
        )
    for link, target in restored.links_left_out.items():
        click.echo(f"! {link}: a link that leads out of the experiment, to {target}: left out")
    click.echo(f"the archive is still there: {path}")


def _find_archive(name: str, experiments_dir: Path) -> Path:
    """The archive that was meant, also where the directory is there.

    Raises UsageError where there is none.
    """
    from hpcexp.errors import UsageError
    from hpcexp.store.archive.names import SUFFIX, find_archive, list_archives

    if path := find_archive(name):
        return path
    matches = sorted(
        (e for e in list_archives(experiments_dir) if name == "latest" or name in e.name),
        key=lambda e: e.name,
    )
    if not matches or matches[-1].archive is None:
        raise UsageError(
            f"{name}: no such archive, and none in {experiments_dir}/ has this in its name; "
            f"give the path of a file NAME{SUFFIX}"
        )
    return matches[-1].archive


def _restored_to_json(restored: Restored, path: Path) -> dict[str, Any]:
    return {
        "experiment": str(restored.experiment.path),
        "archive": str(path),
        "num_files": len(restored.manifest.files),
        "num_bytes": restored.manifest.num_bytes,
        "num_checkpoints_left_out": restored.manifest.num_files_left_out,
        "links_left_out": restored.links_left_out,
    }


def describe_archived(archived: Sequence[ExperimentDir]) -> list[str]:
    """A line for each archived experiment; none is opened, which may take long."""
    return [
        f"archived  {row['name']}  {format_bytes(row['num_bytes'])}"
        for row in list_archived_as_json(archived)
    ]


def list_archived_as_json(archived: Sequence[ExperimentDir]) -> list[dict[str, Any]]:
    """Name, file and size of archived experiments; `hpcexp status NAME` opens one."""
    return [
        {
            "experiment": str(experiment.place),
            "name": experiment.name,
            "is_archived": True,
            "num_bytes": experiment.place.stat().st_size,
        }
        for experiment in archived
    ]
