"""Finding an experiment by path, by `latest`, or by part of its name."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.store.archive.names import find_archive, list_archives
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class Found:
    """The experiment that was meant, and how many there were to choose from."""

    experiment: ExperimentDir
    num_matches: int
    by_path: bool


def list_experiments(experiments_dir: Path) -> list[ExperimentDir]:
    """All experiments of a directory, newest first (their names begin with the time).

    Those that cannot be looked into are among them: whoever reads one is told why it cannot be.
    Archived ones are not, whose directories are not there: `list_archived` names those.
    """
    try:
        paths = list(experiments_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [
        ExperimentDir(path)
        for path in paths
        # Hidden ones are being made or removed at this moment.
        if not path.name.startswith(".") and _may_be_experiment(ExperimentDir(path))
    ]
    return _sort(found)


def list_archived(experiments_dir: Path) -> list[ExperimentDir]:
    """Experiments of which a directory holds only the archive, newest first."""
    return [e for e in _sort(list_archives(experiments_dir)) if not _may_be_experiment(e)]


def _sort(experiments: Sequence[ExperimentDir]) -> list[ExperimentDir]:
    return sorted(experiments, key=lambda e: e.name, reverse=True)


def _is_experiment(experiment: ExperimentDir) -> bool:
    """Also for a text that is too long, or otherwise no path at all."""
    try:
        return experiment.record_path.exists()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _may_be_experiment(experiment: ExperimentDir) -> bool:
    try:
        return experiment.record_path.exists()
    except OSError:
        return True


def find_experiment(text: str, *, experiments_dir: Path, archives: bool = False) -> Found:
    """The experiment at a path, the newest one (`latest`), or the newest whose name holds `text`.

    With `archives`, for those who only read, an archived experiment is opened to be read. Its
    directory is taken where both are there.
    Raises UsageError where there is none, with the nearest names, or where it is archived and
    must not be.
    """
    if not text:  # such as a shell's variable that is not set
        raise UsageError(
            "the experiment's name is empty; give its path, part of its name, or latest"
        )
    if _is_experiment(ExperimentDir(Path(text))):
        return Found(ExperimentDir(Path(text).resolve()), 1, by_path=True)
    if archive := find_archive(text):
        return Found(_open(archive, archives), 1, by_path=True)
    experiments = _sort([*list_experiments(experiments_dir), *list_archived(experiments_dir)])
    if not experiments:
        raise UsageError(
            f"there are no experiments in {experiments_dir}/; "
            "launch one, or say where they are with --experiments-dir"
        )
    matches = select_by_name(text, experiments)
    if not matches:
        raise UsageError(describe_miss(text, experiments, experiments_dir))
    newest = matches[0]
    chosen = newest if newest.archive is None else _open(newest.archive, archives)
    return Found(chosen, len(matches), by_path=False)


def _open(archive: Path, is_allowed: bool) -> ExperimentDir:
    if not is_allowed:
        raise UsageError(
            f"{archive} is an archive, which can only be read (status, logs, plot, list, note "
            "--list); for anything else make its directory again: hpcexp archive --restore "
            f"{archive}"
        )
    from hpcexp.store.archive.opening import open_archive

    return open_archive(archive)


def select_by_name(text: str, experiments: list[ExperimentDir]) -> list[ExperimentDir]:
    """A whole name means itself, also where it begins another one of the same second."""
    if text == "latest":
        return experiments
    same = [e for e in experiments if e.name == text]
    return same or [e for e in experiments if text in e.name]


def describe_miss(text: str, experiments: list[ExperimentDir], experiments_dir: Path) -> str:
    """That no experiment is meant by `text`, and which may have been."""
    short_names = {e.short_name: e.name for e in reversed(experiments)}
    near = difflib.get_close_matches(text, short_names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"the newest is {experiments[0].name}"
    return f"no experiment in {experiments_dir}/ has {text!r} in its name; {hint}"
