"""A template's words about a command. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from hpcexp.workloads.own_loop.config import (
    GIVEN_BY_HPCEXP,
    OwnLoopConfig,
    declare,
    type_of,
)
from hpcexp.workloads.own_loop.placeholders import (
    ARGUMENTS,
    fill_words,
    list_placeholders,
    look_up,
)

CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
BUDGET = ("max_epoch", "max_step")


class Config(OwnLoopConfig):
    """A command, and the hyperparameters that it is given."""

    what: ClassVar[str] = "command"

    command: str = Field(
        description="What to run: split into words as a shell would, without a shell; {NAME} is "
        "the value of a hyperparameter, or what hpcexp gives, such as {seed}."
    )
    config_file: str | None = Field(
        default=None,
        description="Name of a file, .json or .yaml, that is written with the hyperparameters; "
        "{config_file} is its path.",
    )

    @model_validator(mode="after")
    def _can_be_filled(self) -> Config:
        try:
            names = list_placeholders(self.command)
        except ValueError as error:
            raise ValueError(f"command {error}") from None
        values = self._list_values()
        for name in names:
            if name in GIVEN_BY_HPCEXP:
                continue
            try:
                is_missing = look_up(values, name) is None and name in BUDGET
            except KeyError:
                is_missing = True
            if is_missing:
                raise ValueError(
                    f"{{{name}}} of the command has no value; give it under params, or as "
                    f"an axis of grid (hpcexp gives: {', '.join(GIVEN_BY_HPCEXP)})"
                )
        if "config_file" in names and self.config_file is None:
            raise ValueError(
                "{config_file} of the command needs a name; write config_file: config.yaml"
            )
        self._check_unused(names)
        return self

    @model_validator(mode="after")
    def _config_file_can_be_written(self) -> Config:
        name = self.config_file
        if name is None:
            return self
        if Path(name).name != name or Path(name).suffix not in CONFIG_SUFFIXES:
            raise ValueError(
                f"config_file: {name!r} must be a name without directories that ends in "
                f"{', '.join(CONFIG_SUFFIXES)}: it is written beside the run"
            )
        return self

    def _check_unused(self, names: list[str]) -> None:
        """A hyperparameter that reaches nobody would be an axis without an effect."""
        if not is_closed(names, config_file=self.config_file):
            return
        used = {name.partition(".")[0] for name in names}
        for name in self.hyperparameters:
            if name not in used:
                raise ValueError(
                    f"{name}: the command has no {{{name}}}; add it, or {{{ARGUMENTS}}} for all, "
                    "or a config_file"
                )

    def _list_values(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in BUDGET}, **self.hyperparameters}

    def list_words(self, given: Mapping[str, Any]) -> list[str]:
        """The command with all values in their places."""
        values = {**self._list_values(), **given}
        return fill_words(self.command, values, arguments=self.hyperparameters)

    @classmethod
    def specialise(
        cls, params: Mapping[str, Any], *, axes: Mapping[str, Any], project_dir: Path
    ) -> type[OwnLoopConfig]:
        """The names in the command, and those under `params`, each of the type of its value."""
        del project_dir
        written, names = params.get("command"), []
        if isinstance(written, str):
            try:
                names = list_placeholders(written)
            except ValueError:
                return cls  # told by the class itself
        closed = is_closed(names, config_file=params.get("config_file"))
        tops = [name.partition(".")[0] for name in names]
        known = [name for name in tops if name not in (*GIVEN_BY_HPCEXP, *BUDGET)]
        if not closed:
            known += [*params, *(axis.partition(".")[0] for axis in axes)]
        fields = {
            name: (type_of(params.get(name, axes.get(name))), None)
            for name in dict.fromkeys(known)
            if name not in cls.model_fields and name not in GIVEN_BY_HPCEXP
        }
        return declare(cls, fields, is_closed=closed)


def is_closed(names: list[str], *, config_file: Any) -> bool:
    """Whether hyperparameters reach a command by its placeholders only."""
    own = [name for name in names if name not in (*GIVEN_BY_HPCEXP, *BUDGET)]
    return bool(own) and ARGUMENTS not in names and config_file is None
