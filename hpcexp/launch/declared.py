"""The hyperparameters that an experiment's groups may have, as at its launch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan
from hpcexp.store.launch_place import find_launch_copy
from hpcexp.store.layout import ExperimentDir
from hpcexp.workloads import load_config_class
from hpcexp.workloads.own_loop.config import OwnLoopConfig


def load_declared_class(experiment: ExperimentDir, plan: Plan) -> type[BaseModel]:
    """The class that names of hyperparameters and their values are checked with.

    Of a training with a loop of its own these are the places of its command or the parameters of
    its function, as in the code that its jobs run. Where that cannot be read any more any name
    may be given, and the training refuses what it does not know.
    """
    config_class: type[BaseModel] = load_config_class(plan.workload)
    if not issubclass(config_class, OwnLoopConfig):
        return config_class
    try:
        return config_class.specialise(
            plan.params, axes=dict(_list_axes(plan)), project_dir=find_launch_copy(experiment)
        )
    except (HpcexpError, ValueError, KeyError):
        return config_class


def _list_axes(plan: Plan) -> Iterator[tuple[str, Any]]:
    """Every name that tells groups apart, and one of its values."""
    for group in reversed(plan.groups):
        yield from group.values.items()
    for values in plan.named.values():
        yield from values.items()
    yield from ((name, None) for name in plan.derive)
