"""What can be trained: a literal table from a workload's name to its package.

A workload package has two doors. `config` holds its hyperparameters as a pydantic model
and imports no torch, so that a login node can check a template in milliseconds;
`workload` holds the model, the data and the losses, and is imported on the node only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from hpcexp.errors import UsageError

if TYPE_CHECKING:
    from hpcexp.train.config import TrainConfig
    from hpcexp.train.metric import Metric
    from hpcexp.train.workload import Workload

WORKLOADS: dict[str, str] = {
    "classify": "hpcexp.workloads.classify",
    "multitask": "hpcexp.workloads.multitask",
    "sps": "hpcexp.workloads.sps",
    "unmix": "hpcexp.workloads.unmix",
}


def load_config_class(name: str) -> type[TrainConfig]:
    """The pydantic model of a workload's hyperparameters; imports no torch.

    Raises UsageError for an unknown workload.
    """
    return cast("type[TrainConfig]", importlib.import_module(_package(name) + ".config").Config)


def load_workload(name: str, config: TrainConfig) -> Workload:
    """Build a workload for one configuration; imports torch.

    Raises UsageError for an unknown workload.
    """
    return cast("Workload", importlib.import_module(_package(name) + ".workload").build(config))


def _package(name: str) -> str:
    if name not in WORKLOADS:
        raise UsageError(f"no such workload: {name}; there are: {', '.join(sorted(WORKLOADS))}")
    return WORKLOADS[name]


def load_primary_metric(name: str) -> Metric:
    """The metric by which runs of a workload are judged; imports no torch."""
    return cast("Metric", importlib.import_module(_package(name) + ".config").PRIMARY_METRIC)
