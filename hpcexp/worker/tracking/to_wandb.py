"""Weights & Biases while a run trains: offline, unless the template says `mode: online`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hpcexp.worker.tracking.packages import import_package
from hpcexp.worker.tracking.rows import Point, merge_splits
from hpcexp.worker.tracking.tracker import TrackedRun


class WandbTracker:
    """One run of W&B, whatever the number of attempts: all have its id.

    The step of an entry is that of the run, so that the parts which several attempts wrote
    offline fit together when they are sent.
    """

    can_rewind: ClassVar[bool] = False

    def __init__(self, run: TrackedRun, options: Mapping[str, Any]) -> None:
        wandb = import_package("wandb", extra="wandb")
        run.directory.mkdir(parents=True, exist_ok=True)
        self._id = run.id or uuid.uuid4().hex[:12]
        self.logged = wandb.init(
            id=self._id,
            resume="allow",
            project=options.get("project") or run.project,
            entity=options.get("entity"),
            mode=options.get("mode", "offline"),
            name=run.name,
            group=run.group,
            config={**run.params, "experiment": run.experiment, "rand_init": run.rand_init},
            dir=str(run.directory),
            reinit="create_new",
            settings=make_settings(wandb),
        )
        self.logged.define_metric("*", step_metric="step")

    @property
    def id(self) -> str:
        """W&B's id of the run."""
        return self._id

    def log(self, points: Sequence[Point]) -> None:
        """An entry for each step, with both splits."""
        for step, values in merge_splits(points):
            self.logged.log(values, step=step)

    def rewind(self, *, step: int) -> None:
        """W&B cannot take entries back."""

    def end(self, *, state: str, is_finished: bool) -> None:
        """Write the state, and finish this part."""
        self.logged.summary["state"] = state
        self.logged.finish(exit_code=0 if is_finished else 1)


def make_settings(wandb: Any) -> Any:
    """It records what it is given, and looks at nothing else on the machine."""
    return wandb.Settings(
        console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
    )
