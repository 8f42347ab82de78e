"""How well the sources are found.

Shapes: predicted_IN, target_IN and weights_IN are (items, sources).
"""

from __future__ import annotations

import torch
from torch import Tensor


def measure_r2(predicted_IN: Tensor, target_IN: Tensor) -> Tensor:
    """1 - MSE / MSE of the best constant: 1 is perfect, 0 a constant, less is worse than that."""
    constant = target_IN.mean()
    residual = (predicted_IN - target_IN).square().mean()
    return 1 - residual / (constant - target_IN).square().mean()


def measure_exact_pairs(predicted_IN: Tensor, weights_IN: Tensor) -> Tensor:
    """Share of items whose largest predictions are those of the sources that were mixed.

    NaN where every source is mixed into every item, so that nothing is to be told apart.
    """
    is_mixed_IN = weights_IN > 0
    num_mixed_I = is_mixed_IN.sum(dim=1, keepdim=True)
    tells_nothing = (num_mixed_I == weights_IN.shape[1]).all()
    ranks_IN = predicted_IN.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    is_found_IN = ranks_IN < num_mixed_I
    share = (is_found_IN == is_mixed_IN).all(dim=1).to(predicted_IN.dtype).mean()
    return torch.where(tells_nothing, torch.nan, share)  # no branch: lanes are measured at once


def measure_spread(predicted_IN: Tensor) -> Tensor:
    """Standard deviation of a source's predictions over items; near 0 they have collapsed."""
    return predicted_IN.std(dim=0, correction=0).mean()
