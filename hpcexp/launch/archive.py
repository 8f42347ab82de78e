"""Putting an experiment into one file, while nobody works on it."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.busy import find_busy, name_some
from hpcexp.launch.dependents import Dependents, find_dependents
from hpcexp.launch.observe import Observation, observe
from hpcexp.launch.submit import submitting
from hpcexp.store.archive.contents import Listing, list_files
from hpcexp.store.archive.manifest import Manifest
from hpcexp.store.archive.names import SUFFIX
from hpcexp.store.archive.writing import write_archive
from hpcexp.store.layout import REMOVED_PREFIX, ExperimentDir
from hpcexp.store.ownership import read_live_owner

NUM_PASSES = 3  # checksums, writing, reading back


@dataclass(frozen=True)
class Wanted:
    """What a user asked for; `force` also deletes what others need."""

    to: Path | None = None
    without_checkpoints: bool = False
    remove: bool = False
    force: bool = False


@dataclass(frozen=True)
class Archived:
    """The archive, and whether the directory was deleted. `notes` are worth knowing."""

    path: Path
    manifest: Manifest
    num_bytes: int
    is_removed: bool
    notes: tuple[str, ...]


def archive_experiment(
    experiment: ExperimentDir,
    wanted: Wanted,
    *,
    on_total: Callable[[int], None] = lambda _: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Archived:
    """Write an archive of an experiment, read it back, and then delete the directory if wanted.

    Nothing can be submitted meanwhile. `on_total` is told how many bytes there are to go
    through, `on_bytes` each time how many more were.
    Raises UsageError where runs are being worked on, or others need what would be deleted.
    """
    to = choose_target(experiment, wanted.to)
    with submitting(experiment, copies_too=True):
        observation = observe(experiment)
        _check_idle(observation)
        dependents = find_dependents([experiment])
        if wanted.remove and not wanted.force:
            _check_not_needed(observation, wanted, dependents)
        everything = list_files(experiment)
        left_out = everything.select(checkpoints=wanted.without_checkpoints)
        left_out = left_out if wanted.without_checkpoints else Listing((), {})
        listing = everything.select(checkpoints=False) if wanted.without_checkpoints else everything
        on_total(NUM_PASSES * listing.num_bytes)
        states = dict(Counter(str(s.state) for s in observation.statuses.values()))
        manifest = write_archive(
            experiment, listing, to=to, states=states, left_out=left_out, on_bytes=on_bytes
        )
        removed = _take_away(experiment, everything, to) if wanted.remove else None
    if removed is not None:
        # After the lock was given back: an open file keeps some file systems from deleting.
        shutil.rmtree(removed, ignore_errors=True)
    notes = [
        *_describe_unfinished(observation),
        *(f"{removed} could not be deleted whole" for _ in [0] if removed and removed.exists()),
        *dependents.problems,
    ]
    return Archived(to, manifest, to.stat().st_size, wanted.remove, tuple(notes))


def choose_target(experiment: ExperimentDir, to: Path | None) -> Path:
    """Where the archive goes: beside the directory, into a directory, or to a file.

    Raises UsageError for a name that would not be recognised, or a place in the experiment.
    """
    if to is None:
        return experiment.path.with_name(experiment.name + SUFFIX)
    target = to / (experiment.name + SUFFIX) if to.is_dir() else to
    if not target.name.endswith(SUFFIX) or target.name == SUFFIX:
        raise UsageError(
            f"--to {to}: an archive's name ends in {SUFFIX}, by which plot knows it: "
            f"--to {to}{SUFFIX}"
        )
    if target.resolve().is_relative_to(experiment.path.resolve()):
        raise UsageError(f"--to {to}: lies in the experiment itself; choose a place outside of it")
    return target


def _check_idle(observation: Observation) -> None:
    name = observation.experiment.name
    busy = find_busy(observation, unchanged="nothing was archived")
    if busy:
        raise UsageError(
            f"{name}: {_count(busy)} being worked on: {name_some(busy)}; nothing was archived. "
            f"Wait until they end, or hpcexp cancel {name}"
        )
    alive = [
        run.name
        for run in observation.plan.runs
        if observation.statuses[run.name].attempt
        and read_live_owner(observation.experiment.run(run.name)) is not None
    ]
    if alive:
        raise UsageError(
            f"{name}: {_count(alive)} still owned by a process that may be alive: "
            f"{name_some(alive)}; nothing was archived. Try again in some minutes"
        )


def _check_not_needed(observation: Observation, wanted: Wanted, dependents: Dependents) -> None:
    """Deleting must take nothing from a run that is still to be trained, here or elsewhere."""
    experiment = observation.experiment
    if dependents.by_run:
        raise UsageError(
            f"{experiment.name}: others start from its runs: {dependents.describe()}; they need "
            "its directory. Archive without --remove, or give --force"
        )
    unfinished = [n for n, s in observation.statuses.items() if not s.is_finished and s.step]
    if wanted.without_checkpoints and unfinished:
        raise UsageError(
            f"{experiment.name}: {_count(unfinished)} unfinished and would begin anew without "
            f"checkpoints: {name_some(unfinished)}; archive with checkpoints, or give --force"
        )


def _take_away(experiment: ExperimentDir, archived: Listing, to: Path) -> Path:
    """Rename the directory, so that it is gone at once, unless it holds something new."""
    changed = list_files(experiment).find_change(archived)
    if changed is not None:
        raise HpcexpError(
            f"{experiment.path / changed}: changed while it was archived; the directory was kept, "
            f"and so was {to}, which holds what was there before: delete that and archive again"
        )
    aside = experiment.path.with_name(f"{REMOVED_PREFIX}{uuid.uuid4().hex[:12]}")
    try:
        experiment.path.rename(aside)
    except OSError as error:
        raise HpcexpError(
            f"{experiment.path}: cannot be deleted ({error.strerror}); {to} is complete"
        ) from error
    return aside


def _describe_unfinished(observation: Observation) -> list[str]:
    unfinished = [n for n, s in observation.statuses.items() if not s.is_finished]
    return [f"{_count(unfinished)} unfinished: {name_some(unfinished)}"] if unfinished else []


def _count(names: Sequence[str]) -> str:
    return "1 run is" if len(names) == 1 else f"{len(names)} runs are"
