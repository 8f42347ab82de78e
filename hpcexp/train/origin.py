"""Whose checkpoint it is, and moving one to the device that goes on with it."""

from __future__ import annotations

from typing import Any

import torch

from hpcexp.errors import HpcexpError
from hpcexp.train.inputs import STEPS_PER_BLOCK
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import Checkpoint


def describe_origin(streams: RandomStreams) -> dict[str, int]:
    """What the random numbers of a run follow from, as its checkpoints keep it."""
    return {
        "seed": streams.seed,
        "rand_init": streams.rand_init,
        "steps_per_block": STEPS_PER_BLOCK,
    }


def check_origin(checkpoint: Checkpoint, streams: RandomStreams) -> None:
    """Raise HpcexpError for a checkpoint of another run.

    A run that went on with other random numbers would look like one that did not.
    """
    for name, value in describe_origin(streams).items():
        if checkpoint[name] != value:
            raise HpcexpError(
                f"the checkpoint is of another run: its {name} is {checkpoint[name]}, "
                f"this run's is {value}"
            )


def move_tree(tree: dict[str, object], device: torch.device) -> dict[str, Any]:
    """Nested tensors on a device."""
    return {
        k: move_tree(v, device) if isinstance(v, dict) else v.to(device)  # type: ignore[attr-defined]
        for k, v in tree.items()
    }
