"""Freeing what finished runs no longer need: their checkpoints, never a result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.dependents import find_dependents
from hpcexp.launch.left_overs import (
    LeftOver,
    find_left_overs,
    find_left_overs_within,
    remove_left_over,
)
from hpcexp.launch.submit import submitting
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.locks import locked
from hpcexp.store.ownership import read_live_owner
from hpcexp.store.status import read_status
from hpcexp.store.statuses import read_settled

NUM_RUNS_PER_LOCK = 50


@dataclass(frozen=True)
class FreeableRun:
    """The files of one finished run that can go; `needed_by` are experiments that start from it."""

    run_dir: RunDir
    paths: tuple[Path, ...]
    num_bytes: int
    needed_by: tuple[str, ...]


@dataclass(frozen=True)
class FreeableExperiment:
    """What can go of an experiment. `num_unfinished` runs keep what they have."""

    experiment: ExperimentDir
    runs: tuple[FreeableRun, ...]
    left_overs: tuple[LeftOver, ...]
    num_unfinished: int

    @property
    def num_files(self) -> int:
        """Files of runs, and left over ones."""
        return sum(len(r.paths) for r in self.runs) + sum(x.num_files for x in self.left_overs)

    @property
    def num_bytes(self) -> int:
        """Their bytes."""
        return sum(r.num_bytes for r in self.runs) + sum(x.num_bytes for x in self.left_overs)


@dataclass(frozen=True)
class Freeable:
    """All that can go. `protected` runs have something to free, but others start from them."""

    experiments: tuple[FreeableExperiment, ...]
    left_overs: tuple[LeftOver, ...]
    protected: tuple[FreeableRun, ...]
    problems: tuple[str, ...]

    @property
    def num_files(self) -> int:
        """Files in all."""
        return sum(e.num_files for e in self.experiments) + sum(
            x.num_files for x in self.left_overs
        )

    @property
    def num_bytes(self) -> int:
        """Bytes in all."""
        return sum(e.num_bytes for e in self.experiments) + sum(
            x.num_bytes for x in self.left_overs
        )


@dataclass(frozen=True)
class Freed:
    """What went. `spared` runs were taken by somebody since, or began again, and why it is so."""

    num_files: int
    num_bytes: int
    spared: tuple[str, ...]


def find_freeable(
    experiments: Sequence[ExperimentDir],
    *,
    directories: Sequence[Path] = (),
    kept: bool = False,
    force: bool = False,
) -> Freeable:
    """Look at what could be freed; nothing is changed.

    `directories` are looked through for what killed launches left. With `kept` the parameters
    of single epochs go as well, with `force` also what other experiments start from.
    """
    dependents = find_dependents(experiments)
    found, protected, problems = [], [], list(dependents.problems)
    for experiment in experiments:
        try:
            names = [run.name for run in read_plan(experiment).runs]
            statuses = read_settled(experiment, names)
        except HpcexpError as error:
            problems.append(f"{experiment.name}: {error}")
            continue
        finished = [experiment.run(name) for name in names if statuses[name].is_finished]
        runs = [_measure(r, kept=kept, needed_by=dependents.find(r.path)) for r in finished]
        runs = [run for run in runs if run.paths]
        protected += [run for run in runs if run.needed_by and not force]
        free = tuple(run for run in runs if force or not run.needed_by)
        gone = {path for run in runs for path in run.paths}
        left_overs = [x for x in find_left_overs_within(experiment) if x.path not in gone]
        found.append(
            FreeableExperiment(experiment, free, tuple(left_overs), len(names) - len(finished))
        )
    beside = [x for directory in directories for x in find_left_overs(directory)]
    return Freeable(tuple(found), tuple(beside), tuple(protected), tuple(problems))


def _measure(run_dir: RunDir, *, kept: bool, needed_by: tuple[str, ...]) -> FreeableRun:
    paths = _list_parameters(run_dir, kept=kept)
    sizes = {}
    for path in paths:
        try:
            found = path.lstat()
        except OSError:  # it has gone since
            continue
        sizes[found.st_dev, found.st_ino] = found.st_size  # two names of one file are one file
    return FreeableRun(run_dir, tuple(paths), sum(sizes.values()), needed_by)


def _list_parameters(run_dir: RunDir, *, kept: bool) -> list[Path]:
    """Checkpoints, whole or not, and the parameters that were kept on purpose if wanted."""
    folders = [run_dir.checkpoints_dir, *([run_dir.kept_dir] if kept else [])]
    parameters = [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix == ".pt" or path.name.endswith(".pt.tmp")
    ]
    # What a training of the user's saved by itself: any files, perhaps in directories of its own.
    own = [path for folder in run_dir.list_own_checkpoints_dirs() for path in folder.rglob("*")]
    return parameters + sorted(path for path in own if path.is_symlink() or not path.is_dir())


def free(freeable: Freeable, *, on_files: Callable[[int], None] = lambda _: None) -> Freed:
    """Delete what was found, run by run, after another look at each under its lock.

    `on_files` is told how many more files are gone.
    """
    num_files = num_bytes = 0
    spared: list[str] = []
    for found in freeable.experiments:
        for begin in range(0, len(found.runs), NUM_RUNS_PER_LOCK):
            # Whoever makes finished runs unfinished holds it, too. Given back in between:
            # jobs that submit what is held wait for it.
            with submitting(found.experiment, copies_too=True):
                for run in found.runs[begin : begin + NUM_RUNS_PER_LOCK]:
                    why = _free_run(run)
                    if why:
                        spared.append(f"{run.run_dir.name}: {why}")
                        continue
                    num_files += len(run.paths)
                    num_bytes += run.num_bytes
                    on_files(len(run.paths))
    left_overs = [x for e in freeable.experiments for x in e.left_overs]
    for left_over in [*left_overs, *freeable.left_overs]:
        if remove_left_over(left_over):
            num_files += left_over.num_files
            num_bytes += left_over.num_bytes
            on_files(left_over.num_files)
        else:
            spared.append(f"{left_over.path}: could not be deleted")
    return Freed(num_files, num_bytes, tuple(spared))


def _free_run(run: FreeableRun) -> str:
    """Delete the files of a run, or say why not. An attempt takes the run under the same lock."""
    try:
        with locked(run.run_dir.lock_path):
            if not read_status(run.run_dir).is_finished:
                return "is no longer finished"
            if read_live_owner(run.run_dir) is not None:
                return "is owned by a process that may be alive"
            for path in run.paths:
                path.unlink(missing_ok=True)
            for folder in run.run_dir.list_own_checkpoints_dirs():
                _remove_empty(folder)
    except HpcexpError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _remove_empty(folder: Path) -> None:
    """A directory and those in it, from the innermost out; one that holds something stays."""
    for directory, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()
