"""What a run does at a value that is not finite, or a gradient that explodes. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpcexp.train.hyperparameters import Hyperparameters


class StopAtDivergence(Hyperparameters):
    """End the run there, as `diverged`."""

    kind: Literal["stop"] = "stop"


class SkipSteps(Hyperparameters):
    """Leave the step out: parameters and optimiser stay as they are, and the next step follows."""

    kind: Literal["skip"] = "skip"
    max_skips: int = Field(
        default=10,
        ge=1,
        description="Steps in a row that may be left out; one more ends the run as diverged.",
    )


class RollBack(Hyperparameters):
    """Go back to an earlier state of the run, and on from there with a smaller learning rate.

    States are kept by epochs and not by the clock, so that a run's numbers depend neither on
    the machine's speed nor on interruptions.
    """

    kind: Literal["rollback"] = "rollback"
    decrease: float = Field(
        default=0.5, gt=0, lt=1, description="Factor of the learning rate each time."
    )
    max_rollbacks: int = Field(
        default=3, ge=1, description="How often; once more ends the run as diverged."
    )
    every: int = Field(
        default=10, ge=1, description="Epochs from one state that is kept to the next."
    )


def _from_name(value: Any) -> Any:
    """`skip` is short for `{kind: skip}`."""
    return {"kind": value} if isinstance(value, str) else value


OnDivergence = Annotated[
    Annotated[StopAtDivergence | SkipSteps | RollBack, Field(discriminator="kind")],
    BeforeValidator(
        _from_name,
        json_schema_input_type=(
            Literal["stop", "skip", "rollback"] | StopAtDivergence | SkipSteps | RollBack
        ),
    ),
]
