"""Dynamic stop-and-go (DSG): a task that has converged rests until its loss rises again.

Source: Lu et al. 2020, "12-in-1: Multi-Task Vision and Language Representation Learning",
section 3.2, with the thresholds of its released code. Unlike there, a task that rests is only
tested for going again: tested for stopping first, it would miss its own restart.

The state machine is made of tensors, one entry for each task: no evaluation has to be read back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hpcexp.workloads.multitask.config.strategy import StopAndGo
from hpcexp.workloads.multitask.strategy.memory import Tensors


def start_going(ones_L: Tensor) -> Tensors:
    """All tasks go; nothing has been evaluated."""
    unknown_L = torch.full_like(ones_L, torch.inf)
    return {
        "goes": ones_L.clone(),
        "best": unknown_L,
        "reference": unknown_L.clone(),
        "waited": torch.zeros_like(ones_L),
    }


def judge(memory: Tensors, losses_L: Tensor, settings: StopAndGo) -> Tensors:
    """The memory after an evaluation with these validation losses.

    A task stops after `patience` evaluations without a loss below (1 - min_gain) times the
    reference, which is the loss of its last gain. It goes again when its loss is above
    (1 + max_loss) times its best.
    """
    goes = memory["goes"] > 0
    reference_L = memory["reference"]
    gains = reference_L.isinf() | (losses_L < reference_L - settings.min_gain * reference_L.abs())
    waited_L = torch.where(gains, 0.0, memory["waited"] + 1)
    stops = goes & (waited_L >= settings.patience)
    best_L = memory["best"]
    rises = losses_L > best_L + settings.max_loss * best_L.abs()
    restarts = ~goes & rises
    return {
        "goes": ((goes & ~stops) | restarts).to(losses_L.dtype),
        "best": torch.minimum(best_L, losses_L),
        "reference": torch.where(gains, losses_L, reference_L),
        "waited": torch.where(restarts, 0.0, waited_L),
    }


def find_strides(memory: Tensors, settings: StopAndGo) -> Tensor:
    """Turns from one training of a task to the next: 1 where it goes, else the gap."""
    return torch.where(memory["goes"] > 0, 1.0, float(settings.gap))
