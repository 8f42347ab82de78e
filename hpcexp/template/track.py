"""Trackers that follow runs while they train: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hpcexp.errors import UsageError
from hpcexp.template.names import describe_alternatives

VARIABLE = "HPCEXP_TRACK"
OFF = "none"

_CONFIG = ConfigDict(extra="forbid", strict=True, frozen=True)


def _check_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("write one line of text")
    return text


_Line = Annotated[str, AfterValidator(_check_line)]


class TensorboardOptions(BaseModel):
    """Event files in the experiment's directory; there is nothing to choose."""

    model_config = _CONFIG


class WandbOptions(BaseModel):
    """A run of Weights & Biases for each run. The key is never in a template: `wandb login`."""

    model_config = _CONFIG

    mode: Literal["offline", "online"] = Field(
        default="offline",
        description="offline: nothing leaves the machine until `wandb sync` is typed.",
    )
    project: _Line | None = Field(
        default=None, description="Project; the experiment's name where left out."
    )
    entity: _Line | None = Field(default=None, description="User or team that owns the project.")


class MlflowOptions(BaseModel):
    """A run of MLflow for each run."""

    model_config = _CONFIG

    uri: _Line | None = Field(
        default=None,
        description="Tracking server, or sqlite:///PATH; $NAME stands for an environment "
        "variable. Files in the experiment's directory where left out.",
    )
    experiment: _Line | None = Field(
        default=None, description="MLflow's experiment; that of the runs where left out."
    )


class Track(BaseModel):
    """Which trackers follow the runs. They change no number, and never stop a run."""

    model_config = _CONFIG

    tensorboard: TensorboardOptions | None = Field(
        default=None, description="Event files: tensorboard --logdir EXP/tracking/tensorboard"
    )
    wandb: WandbOptions | None = Field(default=None, description="Weights & Biases.")
    mlflow: MlflowOptions | None = Field(default=None, description="MLflow.")

    @model_validator(mode="before")
    @classmethod
    def _accept_names(cls, value: Any) -> Any:
        """A list of names, a name, and `NAME: true` mean the default options."""
        if value is None:
            return {}
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            for name in names:
                if name not in cls.model_fields:
                    hint = describe_alternatives(name, cls.model_fields)
                    raise ValueError(f"no such tracker: {name}{hint}")
            return {name: {} for name in names}
        if not isinstance(value, Mapping):
            raise ValueError(f"write a list of names: [{', '.join(cls.model_fields)}]")
        on = {name: own for name, own in value.items() if own is not False}
        return {name: {} if own is None or own is True else own for name, own in on.items()}

    def to_plan(self) -> dict[str, dict[str, Any]]:
        """The trackers that are on, with the options that were chosen."""
        return self.model_dump(exclude_none=True)


TRACKERS = tuple(Track.model_fields)


def choose_trackers(
    track: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """The trackers of a job with their options: those of the plan and those of the site.

    `HPCEXP_TRACK` in `environ` names the site's, such as `tensorboard,wandb`; `none` turns all
    of them off, those of the template too.

    Raises UsageError for a tracker that there is not.
    """
    names = [name.strip() for name in environ.get(VARIABLE, "").split(",") if name.strip()]
    if names == [OFF]:
        return {}
    for name in names:
        if name not in TRACKERS:
            hint = describe_alternatives(name, [*TRACKERS, OFF])
            raise UsageError(f"{VARIABLE}={environ[VARIABLE]}: no such tracker: {name}{hint}")
    return {**{name: {} for name in names}, **track}
