"""Finding an experiment by path, by `latest`, or by part of its name."""

from __future__ import annotations

import difflib
import errno
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.store.layout import UNFINISHED_PREFIX, ExperimentDir


@dataclass(frozen=True)
class Found:
    """The experiment that was meant, and how many there were to choose from."""

    experiment: ExperimentDir
    num_matches: int
    by_path: bool


def list_experiments(experiments_dir: Path) -> list[ExperimentDir]:
    """All experiments of a directory, newest first (their names begin with the time).

    Those that cannot be looked into are among them: whoever reads one is told why it cannot be.
    """
    try:
        paths = list(experiments_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [
        ExperimentDir(path)
        for path in paths
        if not path.name.startswith(UNFINISHED_PREFIX) and _may_be_experiment(ExperimentDir(path))
    ]
    return sorted(found, key=lambda e: e.name, reverse=True)


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


def find_experiment(text: str, *, experiments_dir: Path) -> Found:
    """The experiment at a path, the newest one (`latest`), or the newest whose name holds `text`.

    Raises UsageError where there is none, with the nearest names.
    """
    if not text:  # such as a shell's variable that is not set
        raise UsageError(
            "the experiment's name is empty; give its path, part of its name, or latest"
        )
    if _is_experiment(ExperimentDir(Path(text))):
        return Found(ExperimentDir(Path(text).resolve()), 1, by_path=True)
    experiments = list_experiments(experiments_dir)
    if not experiments:
        raise UsageError(
            f"there are no experiments in {experiments_dir}/; "
            "launch one, or say where they are with --experiments-dir"
        )
    matches = _select(text, experiments)
    if not matches:
        raise UsageError(_describe_miss(text, experiments, experiments_dir))
    return Found(matches[0], len(matches), by_path=False)


def _select(text: str, experiments: list[ExperimentDir]) -> list[ExperimentDir]:
    """A whole name means itself, also where it begins another one of the same second."""
    if text == "latest":
        return experiments
    same = [e for e in experiments if e.name == text]
    return same or [e for e in experiments if text in e.name]


def _describe_miss(text: str, experiments: list[ExperimentDir], experiments_dir: Path) -> str:
    short_names = {e.short_name: e.name for e in reversed(experiments)}
    near = difflib.get_close_matches(text, short_names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"the newest is {experiments[0].name}"
    return f"no experiment in {experiments_dir}/ has {text!r} in its name; {hint}"
