"""What can be trained: a literal table from a workload's name to its package.

A name with a dot or a colon is none of the table: it says where the code of a laboratory's
own workload is (`hpcexp.workloads.own`).

A workload package has two doors. `config` holds its hyperparameters as a pydantic model
and imports no torch, so that a login node can check a template in milliseconds;
`workload` holds the model, the data and the losses, and is imported on the node only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from hpcexp.errors import UsageError
from hpcexp.workloads.own import build_own, find_own, is_own

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

    Raises UsageError for an unknown workload, or one that cannot be imported.
    """
    if is_own(name):
        return find_own(name).config_class
    return cast("type[TrainConfig]", importlib.import_module(_package(name) + ".config").Config)


def load_workload(name: str, config: TrainConfig) -> Workload:
    """Build a workload for one configuration; imports torch.

    Raises UsageError for an unknown workload, or one that cannot be imported.
    """
    if is_own(name):
        return build_own(name, config)
    return cast("Workload", importlib.import_module(_package(name) + ".workload").build(config))


def _package(name: str) -> str:
    if name not in WORKLOADS:
        raise UsageError(f"no such workload: {name}; there are: {', '.join(sorted(WORKLOADS))}")
    return WORKLOADS[name]


def load_primary_metric(name: str) -> Metric:
    """The metric by which runs of a workload are judged; imports no torch.

    Raises UsageError for an unknown workload, or one that cannot be imported.
    """
    if is_own(name):
        return find_own(name).primary_metric
    return cast("Metric", importlib.import_module(_package(name) + ".config").PRIMARY_METRIC)
