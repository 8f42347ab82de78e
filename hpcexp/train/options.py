"""How a run is trained, as opposed to what: none of it changes a number."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class FitOptions:
    """Where, and how often what is asked and kept; times in seconds.

    `inspect` is given the model in evaluation mode and the epoch, every `inspect_every`
    epochs; what goes wrong in it is logged and does not end the run. With `captures` the step of
    lanes is captured as a CUDA graph where there is a GPU.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_every_s: float = 300.0
    read_back_every_s: float = 2.0
    clock: Callable[[], float] = time.monotonic
    inspect: Callable[[nn.Module, int], None] | None = None
    inspect_every: int | None = None
    captures: bool = False
