"""Losses of single rows, for each task: cross entropy of logits, or squared error."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def measure_losses(outputs_BL: Tensor, labels_BL: Tensor, *, is_binary: Sequence[bool]) -> Tensor:
    """Losses (B, L): nats for binary tasks, squared units of the label for the others.

    Where a label is missing (NaN) the loss is that of label 0: it is to be weighted by 0.
    """
    outputs_BL = outputs_BL.to(labels_BL.dtype)  # whatever the network computed in
    labels_BL = labels_BL.nan_to_num(0.0)
    entropy_BL = binary_cross_entropy_with_logits(
        outputs_BL, labels_BL.clamp(0, 1), reduction="none"
    )
    is_binary_L = torch.tensor(is_binary, device=outputs_BL.device)
    error_BL = (outputs_BL - labels_BL).square()
    return torch.where(is_binary_L, entropy_BL, error_BL)


def weigh_rows(is_trained_BL: Tensor) -> Tensor:
    """Weights (B, L) that make sums over rows means over a task's own rows; 0 where it has none."""
    counts_L = is_trained_BL.sum(dim=0)
    return is_trained_BL / counts_L.clamp_min(1)
