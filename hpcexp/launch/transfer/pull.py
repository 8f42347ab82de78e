"""Fetching experiments from another machine."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.transfer.exchange import put_in_place
from hpcexp.launch.transfer.pull_archive import pull_archive
from hpcexp.launch.transfer.remote import Remote, find_remote, quote_path, split_place
from hpcexp.launch.transfer.rsync import copy_tree, list_additions
from hpcexp.site import Site
from hpcexp.store.archive.names import SUFFIX
from hpcexp.store.copies import CopyRecord, read_copy_record, write_copy_record
from hpcexp.store.experiment import read_plan
from hpcexp.store.find import describe_miss, find_experiment, select_by_name
from hpcexp.store.layout import PULLING_NAME, ExperimentDir
from hpcexp.store.locks import LockedError, locked

# Names come one a line: no experiment's has a line break (create_experiment refuses it).
LIST_SCRIPT = """
cd -- {directory} || exit 2
pwd -P
for record in */experiment.json; do
  if [ -f "$record" ]; then printf '%s\\n' "${{record%/experiment.json}}"; fi
done
for archive in *{suffix}; do
  if [ -f "$archive" ] && ! [ -e "${{archive%{suffix}}}" ]; then printf '%s\\n' "$archive"; fi
done
"""


@dataclass(frozen=True)
class Source:
    """An experiment, or its archive, on another machine: the path there is whole."""

    remote: Remote
    path: str

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.path.rpartition("/")[2].removesuffix(SUFFIX)

    @property
    def is_archive(self) -> bool:
        """Whether it is one file."""
        return self.path.endswith(SUFFIX)


@dataclass(frozen=True)
class Pulled:
    """The copy, and whether there was an older one before."""

    experiment: ExperimentDir
    record: CopyRecord
    is_update: bool


def find_source(text: str, site: Site, *, experiments_dir: Path) -> Source:
    """What `HOST:EXP_DIR` means, or the origin of a copy that is here.

    Raises UsageError where there is no such experiment, HpcexpError where the host does not answer.
    """
    host, name = split_place(text)
    if not host:
        return _find_origin(text, site, experiments_dir)
    if not name:
        raise UsageError(f"{text}: which experiment? Write {host}:latest, or part of its name")
    folder, slash, last = name.rstrip("/").rpartition("/")
    remote = find_remote(host, site, directory=(folder or "/") if slash else None)
    last = last.removesuffix(SUFFIX)
    script = LIST_SCRIPT.format(directory=quote_path(remote.directory), suffix=SUFFIX)
    top, *names = remote.run(script).splitlines() or [""]
    if not names:
        raise UsageError(
            f"{host}: there are no experiments in {top or remote.directory}/; write where they are "
            f"({host}:/path/to/{last}), or experiments_dir of a site (hpcexp site)"
        )
    there = sorted((_describe(Path(top) / n) for n in names), key=lambda e: e.name)[::-1]
    matches = [e for e in there if e.name == last] if slash else select_by_name(last, there)
    if not matches:
        raise UsageError(describe_miss(last, there, Path(f"{host}:{top}")))
    return Source(remote, str(matches[0].place))


def _describe(path: Path) -> ExperimentDir:
    if not path.name.endswith(SUFFIX):
        return ExperimentDir(path)
    return ExperimentDir(path.with_name(path.name.removesuffix(SUFFIX)), archive=path)


def _find_origin(text: str, site: Site, experiments_dir: Path) -> Source:
    experiment = find_experiment(text, experiments_dir=experiments_dir).experiment
    record = read_copy_record(experiment)
    if record is None:
        raise UsageError(
            f"{experiment.name}: is no copy of anything; write HOST:EXP_DIR to fetch one"
        )
    return Source(find_remote(record.site or record.host, site), record.path)


def pull(source: Source, *, experiments_dir: Path, with_checkpoints: bool = False) -> Pulled:
    """Copy an experiment, or bring its copy up to date; what people added to the copy stays.

    Of an archive all comes, checkpoints included, if it holds some.
    Raises UsageError where something else has its name here, HpcexpError where copying fails: then
    nothing is changed, and the next call goes on.
    """
    final = ExperimentDir(experiments_dir / source.name)
    remote = source.remote
    record = CopyRecord(
        host=remote.host,
        path=source.path,
        copied=datetime.now().astimezone().isoformat(timespec="seconds"),
        site=remote.site,
        has_checkpoints=with_checkpoints,
    )
    if source.is_archive:
        fetched = pull_archive(remote, source.path, experiments_dir=experiments_dir)
        return Pulled(fetched, record, is_update=False)
    _check_target(final, source)
    aside = ExperimentDir(experiments_dir / PULLING_NAME / source.name)
    aside.path.mkdir(parents=True, exist_ok=True)
    is_update = final.path.exists()
    try:
        with locked(aside.path.with_name(f"{source.name}.lock"), timeout_s=0.0):
            copy_tree(
                f"{remote.spell(source.path)}/",
                f"{aside.path}/",
                ssh=remote.ssh,
                with_checkpoints=with_checkpoints,
                link_to=str(final.path.absolute()) if is_update else "",
            )
            read_plan(aside)  # no experiment is put where others look for them unread
            for folder in list_additions(final) if is_update else ():
                copy_tree(f"{final.path / folder}/", f"{aside.path / folder}/", adds=True)
            write_copy_record(aside, record)
            put_in_place(aside.path, final.path)
    except LockedError as error:
        raise HpcexpError(
            f"{source.name}: another hpcexp pull fetches it at this moment; wait for that"
        ) from error
    _tidy(aside.path)
    return Pulled(final, record, is_update)


def _check_target(final: ExperimentDir, source: Source) -> None:
    if not final.path.exists():
        return
    record = read_copy_record(final)
    if record is None:
        raise UsageError(
            f"{final.path}: is an experiment of its own, not a copy; choose another directory with "
            "--experiments-dir"
        )
    if (record.host, record.path) != (source.remote.host, source.path):
        raise UsageError(
            f"{final.path}: is a copy of {record.place}, not of "
            f"{source.remote.spell(source.path)}; choose another directory with --experiments-dir, "
            f"or hpcexp rm {final.name} first"
        )


def _tidy(aside: Path) -> None:
    aside.with_name(f"{aside.name}.lock").unlink(missing_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    with suppress(OSError):  # it holds what another pull has begun
        aside.parent.rmdir()
