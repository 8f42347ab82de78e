"""A small configuration of the unmixing workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hpcexp.workloads.unmix.config import Config

TINY: dict[str, Any] = {
    "dataset": {"resolution": 8},
    "encoder": {"channels": [4, 8], "strides": [2, 1]},
    "decoder_width": 16,
    "train_set_size": 30,
    "validate_set_size": 20,
    "batch_size": 6,
    "max_epoch": 3,
}

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_config() -> MakeConfig:
    """A tiny configuration with changed hyperparameters."""
    return lambda **changes: Config.model_validate({**TINY, **changes})
