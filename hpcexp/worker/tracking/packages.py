"""Packages that only some trackers and exports need."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from hpcexp.errors import UsageError

# What is written stays on this machine: no usage statistics, no reports of errors.
_QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}


def import_package(name: str, *, extra: str, wanted: str | None = None) -> ModuleType:
    """A module of a package that is installed with an extra of hpcexp.

    `wanted` is who needs it, such as `--to wandb`. Raises UsageError, with what to type, where it
    is not there.
    """
    os.environ.update(_QUIET)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{wanted or extra} needs a package that is not installed ({error}): "
            f"pip install 'hpcexp[{extra}]'"
        ) from error
