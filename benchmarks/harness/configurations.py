"""What is trained: the notebook's main configuration, and the quickstart's small one."""

from __future__ import annotations

from typing import Any

import torch

from hpcexp.train.inputs import make_block
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepInputs
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.workload import SpsWorkload

QUICKSTART: dict[str, Any] = {
    "dataset": {"resolution": 16, "ball_radius": 1.0},
    "vae_channels": [16, 32],
    "encoder_batch_norm": True,
    "batch_size": 8,
    "train_set_size": 256,
    "lr": 0.003,
}
NOTEBOOK: dict[str, Any] = {}
"""The defaults of `sps` are the notebook's: 16 sequences of 20 frames, channels 64, 128, 256."""
TINY: dict[str, Any] = {
    "dataset": {"resolution": 8, "num_frames": 7, "ball_radius": 1.0},
    "vae_channels": [4, 8],
    "rnn_width": 6,
    "rnn_min_context": 3,
    "batch_size": 4,
    "train_set_size": 16,
    "validate_set_size": 8,
}
CONFIGURATIONS = {"quickstart": QUICKSTART, "notebook": NOTEBOOK}


def build_workload(name: str, **changes: Any) -> SpsWorkload:
    """A workload by its name here, with changed hyperparameters."""
    given = TINY if name == "tiny" else CONFIGURATIONS[name]
    return SpsWorkload(Config.model_validate({**given, **changes}))


def make_inputs(workload: SpsWorkload, streams: RandomStreams, device: torch.device) -> StepInputs:
    """What the first step of a run reads."""
    block = make_block(workload, streams, block=0, device=device, dtype=torch.float32)
    train = {name: tensor.to(device) for name, tensor in workload.load_data()["train"].items()}
    return block.select(0, train)
