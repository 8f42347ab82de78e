"""A multi-task workload that is small enough to train in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.workload import MultitaskWorkload

TINY: dict[str, Any] = {
    "dataset": {"max_lengths": [5, 4, 4], "min_lengths": [2, 2, 2], "feature_widths": [6, 5]},
    "model": {
        "width": 8,
        "num_heads": 2,
        "lstm_width": 4,
        "head_widths": [4],
        "text_encoder": {"width": 5},
    },
    "tasks": ["easy", "xor", "scaled"],
    "train_set_size": 32,
    "validate_set_size": 24,
    "batch_size": 8,
    "max_epoch": 4,
}

MakeWorkload = Callable[..., MultitaskWorkload]


def make_config(**changes: Any) -> Config:
    """A tiny config; sections in `changes` are laid over the tiny ones."""
    merged = {
        k: {**TINY[k], **v} if isinstance(v, dict) and isinstance(TINY.get(k), dict) else v
        for k, v in changes.items()
    }
    return Config.model_validate({**TINY, **merged})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_workload() -> MakeWorkload:
    """Builds a tiny workload with changed hyperparameters."""
    return lambda **changes: MultitaskWorkload(make_config(**changes))
