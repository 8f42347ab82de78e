"""How far a tracker (TensorBoard, W&B, MLflow) has followed a run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import ExperimentDir, RunDir


@dataclass(frozen=True)
class Tracked:
    """What a tracker knows of a run.

    It has all rows up to `step`; those up to `claimed_step` were handed to it, and are never
    handed to it again. `num_rows` counts what it has, `num_lost` what it will never get.
    `id` is the tracker's own name of the run, by which a later attempt goes on with it.
    `attempt` is the one whose rows it has. `problem` says why it lacks rows, in words.
    """

    step: int = -1
    claimed_step: int = -1
    num_rows: int = 0
    num_lost: int = 0
    attempt: int = 0
    id: str = ""
    problem: str = ""

    def replace(self, **changes: Any) -> Tracked:
        """A copy with changes."""
        return dataclasses.replace(self, **changes)


def write_tracked(run_dir: RunDir, tracker: str, tracked: Tracked) -> None:
    """Replace what is known of a run's tracker."""
    write_json(run_dir.tracked_path(tracker), dataclasses.asdict(tracked))


def list_trackers(experiment: ExperimentDir) -> list[str]:
    """Those that have followed runs of an experiment, or tried to."""
    directory = experiment.tracking_dir("any").parent
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def read_tracked(run_dir: RunDir, tracker: str) -> Tracked:
    """How far a tracker has followed a run; nothing where it has not begun, or is damaged."""
    path: Path = run_dir.tracked_path(tracker)
    try:
        return read_record(path, Tracked)
    except HpcexpError:
        return Tracked()
