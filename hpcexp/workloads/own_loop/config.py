"""What a template says of a workload that trains by itself. Imports no torch."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import ConfigDict, Field, create_model, model_validator
from typing_extensions import TypeAliasType

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.metric import Metric
from hpcexp.train.stopping import StopRule

Value = TypeAliasType("Value", "bool | int | float | str | list[Value] | dict[str, Value] | None")
"""A hyperparameter that hpcexp hands on without knowing it."""

GIVEN_BY_HPCEXP = (
    "seed", "rand_init", "run", "run_dir", "checkpoint_dir", "project_dir", "metrics_file",
    "tensorboard_dir", "attempt", "num_threads", "python", "config_file", "arguments",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class ReportedMetric(Hyperparameters):
    """The metric that runs are judged by, of those that the training reports."""

    name: str = Field(
        default="loss", min_length=1, description="Its name in the reports; smaller is better."
    )
    title: str | None = Field(
        default=None, description="What figures call it; its name where left out."
    )
    success_below: float | None = Field(
        default=None, description="A run whose last value is below counts as a success."
    )
    cap: float | None = Field(
        default=None, description="Values beyond it carry no meaning; figures cut the axis there."
    )

    def to_metric(self) -> Metric:
        """As the analysis knows metrics."""
        return Metric(self.name, self.title or self.name, self.success_below, self.cap)


class OwnLoopConfig(Hyperparameters, ABC):
    """What every workload that trains by itself is given; any other name is the user's own.

    Those other names are the hyperparameters that reach the training. With `max_epoch` or
    `max_step`, progress and the time that is left are known.
    """

    model_config = ConfigDict(
        extra="allow", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )
    __pydantic_extra__: dict[str, Value]
    what: ClassVar[str] = ""  # the setting that names what is trained
    declared: ClassVar[tuple[str, ...]] = ()  # fields that `specialise` added
    defaults: ClassVar[Mapping[str, Any]] = {}  # and their defaults, where there are any

    max_epoch: int | None = Field(
        default=None, ge=1, description="Budget in epochs, for progress and for the training."
    )
    max_step: int | None = Field(
        default=None, ge=1, description="Budget in steps, for progress and for the training."
    )
    metric: ReportedMetric = Field(
        default=ReportedMetric(), description="The metric that runs are judged by."
    )
    on_nan: Literal["stop", "record"] = Field(
        default="stop",
        description="At a reported value that is not finite: stop the run as diverged, or only "
        "record it.",
    )
    stop: Annotated[tuple[StopRule, ...], Field(strict=False)] = Field(
        default=(), description="Rules that end a run early; the first that holds does."
    )
    tensorboard: bool = Field(
        default=False,
        description="Read the scalars of event files in {tensorboard_dir} as reports, too.",
    )
    launcher: Literal["none", "torchrun"] = Field(
        default="none",
        description="torchrun: the training is several processes, by resources.nodes and "
        "resources.processes_per_node.",
    )
    grace_s: float = Field(
        default=20.0,
        ge=0,
        description="Seconds from the request to stop until what still runs is killed.",
    )

    @model_validator(mode="after")
    def _names_can_be_given(self) -> OwnLoopConfig:
        for name in self.hyperparameters:
            if name in GIVEN_BY_HPCEXP:
                raise ValueError(f"{name}: hpcexp gives it to every run; choose another name")
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name}: no name of a hyperparameter; use letters, digits, _ and -, "
                    "beginning with a letter"
                )
        return self

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Those that are the user's own, by name."""
        dumped = self.model_dump(mode="json")
        own = {name: dumped[name] for name in self.declared if name in self.model_fields_set}
        return own | {name: dumped[name] for name in self.model_extra or {}}

    @classmethod
    @abstractmethod
    def specialise(
        cls, params: Mapping[str, Any], *, axes: Mapping[str, Any], project_dir: Path
    ) -> type[OwnLoopConfig]:
        """This class with fields for the hyperparameters that a template may give.

        `params` are the template's, as written, `axes` a value of each other name that it
        gives, by dotted name. Raises ValueError where what is to be trained cannot be found,
        with the name of the setting that says it in front.
        """

    @abstractmethod
    def list_words(self, given: Mapping[str, Any]) -> list[str]:
        """The program to start and its arguments; `given` is what hpcexp gives to the run."""

    def list_references(self) -> dict[str, Any]:
        """The settings that say what is trained, for those who load it."""
        base = set(OwnLoopConfig.model_fields)
        return {n: getattr(self, n) for n in type(self).model_fields if n not in base}

    @property
    def num_steps(self) -> int:
        """Steps of the whole run, epochs where only they are known; 0 where neither is."""
        return self.max_step or self.max_epoch or 0

    @property
    def num_epochs(self) -> int:
        """Epochs of the whole run; 0 where unknown."""
        return self.max_epoch or 0

    @property
    def ends_on_evaluation(self) -> bool:
        """Unknown: the training decides."""
        return False

    @property
    def lane_key(self) -> str:
        """Equal for initialisations of one group."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @property
    def lane_obstacle(self) -> str:
        """Why such runs are no lanes of one program."""
        return f"a {self.what} trains by itself"

    @property
    def lr_schedule(self) -> None:
        """The learning rate is the training's own."""
        return None

    def list_budget_dependents(self) -> tuple[str, ...]:
        """What the training makes of its budget is not known."""
        return (self.what,)


def declare(
    config_class: type[OwnLoopConfig],
    fields: Mapping[str, tuple[Any, Any]],
    *,
    is_closed: bool,
    defaults: Mapping[str, Any] | None = None,
) -> type[OwnLoopConfig]:
    """A class with fields of these types and defaults; `is_closed`: and with no others.

    A name that pydantic needs for itself, such as `copy`, is not declared, and the class left
    open for it.
    """
    own = {n: field for n, field in fields.items() if n not in config_class.model_fields}
    kept = {
        name: field
        for name, field in own.items()
        if _NAME.fullmatch(name) and "-" not in name and not hasattr(config_class, name)
    }
    is_closed = is_closed and len(kept) == len(own)
    made = create_model(  # type: ignore[call-overload]
        config_class.__name__, __base__=config_class, __module__=config_class.__module__, **kept
    )
    made.declared, made.defaults = tuple(kept), dict(defaults or {})
    made.model_config["extra"] = "forbid" if is_closed else "allow"
    made.model_rebuild(force=True)
    return cast("type[OwnLoopConfig]", made)


def type_of(value: Any) -> Any:
    """The type that other values of a hyperparameter must have, by one of them."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return int | float
    return str if isinstance(value, str) else Value
