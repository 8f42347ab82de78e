"""Removing experiments: to a trash beside them first, so that it can be undone."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.busy import find_busy, name_some
from hpcexp.launch.dependents import find_dependents
from hpcexp.launch.disk_use import measure
from hpcexp.launch.observe import observe
from hpcexp.launch.submit import submitting
from hpcexp.store.copies import read_copy_record
from hpcexp.store.find import describe_miss, select_by_name
from hpcexp.store.layout import TRASH_NAME, ExperimentDir
from hpcexp.store.ownership import read_live_owner


@dataclass(frozen=True)
class Thrown:
    """An experiment in the trash: `when` it was put there, in seconds since 1970."""

    experiment: ExperimentDir
    when: float


def throw_away(experiment: ExperimentDir, *, force: bool = False) -> Thrown:
    """Put an experiment into the trash of its directory, by one renaming.

    `force` also takes one whose runs others start from, or that cannot be read.
    Raises UsageError where somebody works on it or needs it, HpcexpError where it cannot be moved.
    """
    if not force:
        dependents = find_dependents([experiment])
        if dependents.by_run:
            raise UsageError(
                f"{experiment.name}: others start from its runs: {dependents.describe()}; --force "
                "removes it all the same"
            )
    # Its own directory for each time: an experiment may be pulled, and removed, more than once.
    folder = experiment.path.parent / TRASH_NAME / str(time.time_ns())
    target = folder / experiment.name
    with submitting(experiment, copies_too=True):
        _check_idle(experiment)
        try:
            folder.mkdir(parents=True)
            experiment.path.rename(target)
        except OSError as error:
            raise HpcexpError(
                f"{experiment.path}: cannot be moved to {target} ({error.strerror}); it is "
                "as it was"
            ) from error
    return Thrown(ExperimentDir(target), _read_time(folder))


def _check_idle(experiment: ExperimentDir) -> None:
    """A copy is idle always: what trains, trains elsewhere."""
    if read_copy_record(experiment) is not None:
        return
    observation = observe(experiment)
    busy = find_busy(observation, unchanged="nothing was removed")
    begun = [n for n, status in observation.statuses.items() if status.attempt]
    busy += [n for n in begun if n not in busy and _is_owned(experiment, n)]
    if busy:
        raise UsageError(
            f"{experiment.name}: somebody works on {name_some(busy)}; nothing was removed. "
            f"Wait until they end, or hpcexp cancel {experiment.name}"
        )


def _is_owned(experiment: ExperimentDir, name: str) -> bool:
    try:
        return read_live_owner(experiment.run(name)) is not None
    except HpcexpError:  # damaged: nobody can work on it
        return False


def list_thrown(experiments_dir: Path) -> list[Thrown]:
    """What is in the trash, what came last first."""
    found = [
        Thrown(ExperimentDir(path), _read_time(folder))
        for folder in _list(experiments_dir / TRASH_NAME)
        for path in _list(folder)
    ]
    return sorted(found, key=lambda thrown: thrown.when, reverse=True)


def restore(text: str, *, experiments_dir: Path) -> ExperimentDir:
    """Take the experiment that was removed last, of those whose names hold `text`, from the trash.

    Raises UsageError where there is none, or where its name is in use again.
    """
    thrown = [item.experiment for item in list_thrown(experiments_dir)]
    if not thrown:
        raise UsageError(f"there is nothing in the trash of {experiments_dir}/")
    matches = select_by_name(text, thrown)
    if not matches:
        raise UsageError(describe_miss(text, thrown, experiments_dir / TRASH_NAME))
    chosen = matches[0]
    target = ExperimentDir(experiments_dir / chosen.name)
    if target.path.exists():
        raise UsageError(f"{target.path}: is there already; nothing was restored")
    chosen.path.rename(target.path)
    _tidy(chosen.path.parent)
    return target


def empty_trash(experiments_dir: Path) -> tuple[int, int]:
    """Delete what is in the trash for good; returns how many experiments, and bytes.

    Raises HpcexpError where something cannot be deleted.
    """
    thrown = list_thrown(experiments_dir)
    num_bytes = 0
    for item in thrown:
        num_bytes += measure(item.experiment).total
        shutil.rmtree(item.experiment.path, ignore_errors=True)
        if item.experiment.path.exists():
            raise HpcexpError(f"{item.experiment.path}: could not be deleted whole")
        _tidy(item.experiment.path.parent)
    return len(thrown), num_bytes


def _tidy(folder: Path) -> None:
    for directory in (folder, folder.parent):
        try:
            directory.rmdir()
        except OSError:  # it holds something else
            return


def _read_time(folder: Path) -> float:
    return int(folder.name) / 1e9 if folder.name.isdecimal() else 0.0


def _list(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
