"""A template's words about a function. Imports no torch, nor the function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from hpcexp.workloads.own_loop.config import OwnLoopConfig, declare
from hpcexp.workloads.own_loop.signature import Signature, is_known, read_function

CALLER = "hpcexp.worker.own_loop.call"


class Config(OwnLoopConfig):
    """A function, and the hyperparameters that it is given."""

    what: ClassVar[str] = "function"

    function: str = Field(
        description="The function that trains a run, as package.module:function; it is found from "
        "the directory of the launch."
    )

    def list_words(self, given: Mapping[str, Any]) -> list[str]:
        """A Python that calls the function."""
        return [str(given["python"]), "-u", "-m", CALLER]

    @classmethod
    def specialise(
        cls, params: Mapping[str, Any], *, axes: Mapping[str, Any], project_dir: Path
    ) -> type[OwnLoopConfig]:
        """The function's parameters, with their types and defaults."""
        del axes
        reference = params.get("function")
        if not isinstance(reference, str):
            return cls  # told by the class itself
        try:
            signature = read_function(reference, project_dir=project_dir)
        except ValueError as error:
            raise ValueError(f"function: {error}") from None
        return declare_signature(cls, signature)


def declare_signature(
    config_class: type[OwnLoopConfig], signature: Signature
) -> type[OwnLoopConfig]:
    """A class with a field for each parameter; one without a default must be given."""
    fields = {p.name: (p.type, ... if not p.has_default else None) for p in signature.parameters}
    defaults = {p.name: p.default for p in signature.parameters if is_known(p)}
    return declare(config_class, fields, is_closed=not signature.is_open, defaults=defaults)
