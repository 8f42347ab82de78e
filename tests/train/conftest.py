"""A small real workload: the training core is tested on what it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.workload import SpsWorkload

TINY: dict[str, Any] = {
    "dataset": {"resolution": 8, "num_frames": 7, "ball_radius": 1.0},
    "vae_channels": [4, 8],
    "rnn_width": 6,
    "rnn_min_context": 3,
    "train_set_size": 20,
    "validate_set_size": 8,
    "batch_size": 4,
    "max_epoch": 6,
}

MakeWorkload = Callable[..., SpsWorkload]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_workload() -> MakeWorkload:
    """Builds a tiny SPS workload with changed hyperparameters."""
    return lambda **changes: SpsWorkload(Config(**{**TINY, **changes}))
