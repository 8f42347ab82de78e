"""What can be trained: a literal table from a workload's name to its package.

A name with a dot or a colon is none of the table: it says where the code of a laboratory's
own workload is (`hpcexp.workloads.own`).

A workload package has two doors. `config` holds its hyperparameters as a pydantic model
and imports no torch, so that a login node can check a template in milliseconds;
`workload` holds the model, the data and the losses, and is imported on the node only.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from hpcexp.errors import UsageError
from hpcexp.workloads.own import build_own, find_own, is_own
from hpcexp.workloads.own_loop import OWN_LOOPS

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


def list_workloads() -> tuple[str, ...]:
    """Names of all workloads: those of the table, and those that train by themselves."""
    return (*WORKLOADS, *OWN_LOOPS)


def load_config_class(name: str) -> type[TrainConfig]:
    """The pydantic model of a workload's hyperparameters; imports no torch.

    That of a workload that trains by itself has of TrainConfig what tells how long a run is.
    Raises UsageError for an unknown workload, or one that cannot be imported.
    """
    if is_own(name):
        return find_own(name).config_class
    return cast("type[TrainConfig]", importlib.import_module(_package(name) + ".config").Config)


def load_workload(name: str, config: TrainConfig) -> Workload:
    """Build a workload for one configuration; imports torch.

    Raises UsageError for an unknown workload, one that cannot be imported, and one that trains
    by itself.
    """
    if is_own(name):
        return build_own(name, config)
    if name in OWN_LOOPS:
        raise UsageError(
            f"workload {name} trains by itself: its model and its data are its own, and hpcexp "
            "cannot look into them"
        )
    return cast("Workload", importlib.import_module(_package(name) + ".workload").build(config))


def _package(name: str) -> str:
    table = {**WORKLOADS, **OWN_LOOPS}
    if name not in table:
        raise UsageError(f"no such workload: {name}; there are: {', '.join(sorted(table))}")
    return table[name]


def load_primary_metric(name: str, params: Mapping[str, Any] | None = None) -> Metric:
    """The metric by which runs of a workload are judged; imports no torch.

    Where a workload trains by itself, its `params` say which. Raises UsageError for an unknown
    workload, or one that cannot be imported.
    """
    if is_own(name):
        return find_own(name).primary_metric
    if name in OWN_LOOPS:
        from hpcexp.workloads.own_loop.config import ReportedMetric

        return ReportedMetric.model_validate((params or {}).get("metric", {})).to_metric()
    return cast("Metric", importlib.import_module(_package(name) + ".config").PRIMARY_METRIC)
