"""What packing would need, from shapes alone: for a dry run, before any node is asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hpcexp.train.footprint import foresee_lane_bytes
from hpcexp.worker.auto.choose import GPU_CONTEXT_BYTES, MemoryLine, Room, count_fitting
from hpcexp.workloads import load_config_class, load_workload
from hpcexp.workloads.cache_dir import CACHE_DIR_VARIABLE

PROCESS_BYTES = 500 << 20
"""What Python and torch need by themselves."""


@dataclass(frozen=True)
class Foreseen:
    """Memory of a process by number of lanes, and how many of the runs fit; None: not known."""

    line: MemoryLine
    num_fitting: int | None


def foresee_memory(
    workload: str, params: Mapping[str, Any], *, num_runs: int, mem_gb: int, gpus: int
) -> Foreseen:
    """Memory of `num_runs` lanes of one configuration, which supports lanes.

    Imports torch, and computes the shapes of a step: about a second. The memory of a GPU is not
    known before a job is on it.
    """
    config = load_config_class(workload).model_validate(params)
    with _away_from_the_cache():
        few = config.model_copy(update={"train_set_size": config.batch_size})
        rows = {
            split: dict(data) for split, data in load_workload(workload, few).load_data().items()
        }
        lane_bytes = foresee_lane_bytes(load_workload(workload, config), rows["train"])
    data_bytes = _count(rows["train"]) * config.train_set_size / config.batch_size
    data_bytes += _count(rows["validate"])
    own = GPU_CONTEXT_BYTES if gpus else PROCESS_BYTES
    line = MemoryLine(own + data_bytes, float(lane_bytes))
    if gpus:
        return Foreseen(line, None)
    return Foreseen(line, count_fitting(line, Room(mem_gb * 2.0**30, 1, num_runs)))


def _count(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


@contextmanager
def _away_from_the_cache() -> Iterator[None]:
    """A dry run leaves nothing behind, a few drawn sequences neither."""
    before = os.environ.get(CACHE_DIR_VARIABLE)
    with tempfile.TemporaryDirectory() as directory:
        os.environ[CACHE_DIR_VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[CACHE_DIR_VARIABLE]
            if before is not None:
                os.environ[CACHE_DIR_VARIABLE] = before
