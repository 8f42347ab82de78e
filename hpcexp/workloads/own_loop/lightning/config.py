"""A template's words about a Lightning module. Imports neither torch, nor Lightning, nor it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from hpcexp.workloads.own_loop.config import OwnLoopConfig, Value
from hpcexp.workloads.own_loop.function.config import declare_signature
from hpcexp.workloads.own_loop.signature import Signature, read_class

FITTER = "hpcexp.worker.own_loop.lightning"
SET_BY_HPCEXP = {
    "max_epochs": "params.max_epoch",
    "max_steps": "params.max_step",
    "devices": "resources.processes_per_node",
    "num_nodes": "resources.nodes",
}


class Config(OwnLoopConfig):
    """A module, its data, and the hyperparameters that both are given."""

    what: ClassVar[str] = "module"

    module: str = Field(
        description="The LightningModule, as package.module:Class; it is found from the directory "
        "of the launch."
    )
    data: str | None = Field(
        default=None,
        description="The LightningDataModule, as package.module:Class; without one the module has "
        "dataloaders of its own.",
    )
    trainer: dict[str, Value] = Field(
        default={}, description="Other arguments of lightning.Trainer, such as precision."
    )

    @model_validator(mode="after")
    def _has_a_budget(self) -> Config:
        if self.max_epoch is None and self.max_step is None:
            raise ValueError("module: Lightning needs a budget; write max_epoch or max_step")
        return self

    @model_validator(mode="after")
    def _trainer_leaves_ours_alone(self) -> Config:
        for name, place in SET_BY_HPCEXP.items():
            if name in self.trainer:
                raise ValueError(f"trainer.{name}: set by {place}; write it there")
        return self

    def list_words(self, given: Mapping[str, Any]) -> list[str]:
        """A Python that fits the module."""
        return [str(given["python"]), "-u", "-m", FITTER]

    @classmethod
    def specialise(
        cls, params: Mapping[str, Any], *, axes: Mapping[str, Any], project_dir: Path
    ) -> type[OwnLoopConfig]:
        """The parameters of both classes; one name is one hyperparameter, given to both."""
        del axes
        signatures = []
        for setting in ("module", "data"):
            reference = params.get(setting)
            if not isinstance(reference, str):
                continue
            try:
                signatures.append(read_class(reference, project_dir=project_dir))
            except ValueError as error:
                raise ValueError(f"{setting}: {error}") from None
        if not signatures:
            return cls  # told by the class itself
        parameters = {p.name: p for s in reversed(signatures) for p in s.parameters}
        is_open = any(signature.is_open for signature in signatures)
        return declare_signature(cls, Signature(tuple(parameters.values()), is_open))
