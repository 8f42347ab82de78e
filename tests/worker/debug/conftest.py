"""A small model that can unmix, to be broken by the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hpcexp.train.seeding import RandomStreams
from hpcexp.worker.debug.bench import Bench
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.objective import Objective
from hpcexp.workloads.unmix.workload import UnmixWorkload

SMALL: dict[str, Any] = {
    "dataset": {"resolution": 8},
    "encoder": {"channels": [16], "strides": [2], "pool": "grid"},
    "decoder_width": 48,
    "train_set_size": 60,
    "validate_set_size": 30,
    "batch_size": 16,
    "max_epoch": 3,
    "lr": 0.003,
}

MakeBench = Callable[..., Bench]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_bench() -> MakeBench:
    """A bench of a workload whose model is of a class, with changed hyperparameters."""

    def make(
        model_class: type[Objective] = Objective,
        workload_class: type[UnmixWorkload] = UnmixWorkload,
        **changes: Any,
    ) -> Bench:
        class Workload(workload_class):  # type: ignore[misc, valid-type]
            def build_model(self) -> Objective:
                return model_class(self.config)

        workload = Workload(Config.model_validate({**SMALL, **changes}))
        streams = RandomStreams(0, 0)
        return Bench(workload, streams=streams, device=torch.device("cpu"), num_steps=200)

    return make
