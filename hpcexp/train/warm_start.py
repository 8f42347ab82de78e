"""Starting from the parameters of another run. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from hpcexp.train.hyperparameters import Hyperparameters


class WarmStart(Hyperparameters):
    """Parameters and buffers taken from a run of another experiment before the first step.

    The optimiser starts afresh. Only what the source run has with the same shape is taken.
    """

    run: str = Field(
        min_length=1,
        description="Directory of the run, EXPERIMENT_DIR/runs/RUN, relative to where you launch, "
        "or NAME/runs/RUN of the newest experiment of a name; {rand_init} in it stands for this "
        "run's initialisation.",
    )
    at: Literal["last", "best"] | int = Field(
        default="last", description="Its last parameters, its best, or those kept at an epoch."
    )
    metric: str | None = Field(
        default=None, description="The metric of which best is meant; null: the first kept."
    )
    parameters: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Names, or beginnings of names up to a dot, of what is taken here; empty: all.",
    )
    rename: Mapping[str, str] = Field(
        default={},
        description="Beginnings of names: here -> in the source run.",
    )
    allow_missing: bool = Field(
        default=False,
        description="Start what the source lacks, or has in another shape, from scratch instead "
        "of refusing.",
    )
