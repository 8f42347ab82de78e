"""From a template's path to an experiment that is ready to be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.launch.code import list_warnings
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.existing import Existing, find_existing
from hpcexp.launch.plan import make_plan
from hpcexp.launch.prepare import prepare
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import Template


@dataclass(frozen=True)
class Started:
    """A new experiment, of which nothing is submitted yet, and what is worth knowing of it."""

    experiment: ExperimentDir
    existing: Existing | None
    warnings: tuple[str, ...]


def start_launch(
    template: Template, *, experiments_dir: Path, only: Sequence[str], executor: str
) -> Started:
    """Make the experiment of a template; its groups were checked.

    Raises UsageError, HpcexpError where the executor cannot work here or nothing can be written.
    """
    EXECUTORS[executor].check(experiments_dir)
    plan = make_plan(template, only=only, experiments_dir=experiments_dir)
    existing = find_existing(plan, experiments_dir)
    experiment = prepare(template, experiments_dir=experiments_dir, only=only)
    warnings = list_warnings(experiment)
    if existing is not None:
        warnings = [existing.describe(), *warnings]
    return Started(experiment, existing, tuple(warnings))


def choose_all(experiment: ExperimentDir) -> Callable[[], list[str]]:
    """Every run, when it is called."""
    return lambda: [run.name for run in read_plan(experiment).runs]
