"""Inter-task affinity: how much a step on one task lowers the loss of another.

Source: Fifty et al. 2021, "Efficiently Identifying Task Groupings for Multi-Task Learning",
equation 1: Z(i -> j) = 1 - L_j(θ - η ∇ L_i) / L_j(θ), of one batch, θ the shared parameters.
The model is in evaluation mode and is never changed: lookahead parameters are handed to it, so no
statistics of a norm move.

Shapes: L tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from hpcexp.workloads.multitask.losses import measure_losses, weigh_rows
from hpcexp.workloads.multitask.model import Hca


def measure_affinity(
    model: Hca,
    batches: Sequence[Mapping[str, Tensor]],
    *,
    modalities_M: Tensor,
    lr: float,
    factors: Sequence[float],
) -> Tensor:
    """Affinity from each task (row) to each (column), (L, L), the mean over batches.

    Positive where a step of size `lr` on the row's task, its loss multiplied by its factor,
    lowers the column's loss.
    """
    found = [
        _measure_batch(model, batch, modalities_M, [lr * factor for factor in factors])
        for batch in batches
    ]
    return torch.stack(found).mean(dim=0)


def _measure_batch(
    model: Hca, batch: Mapping[str, Tensor], modalities_M: Tensor, step_sizes: Sequence[float]
) -> Tensor:
    shared = {name: model.get_parameter(name).detach() for name in model.shared_names}
    row_weights_BL = weigh_rows((~batch["labels"].isnan()).to(modalities_M.dtype))

    def compute_losses(parameters: Mapping[str, Tensor]) -> Tensor:
        outputs_BL: Tensor = functional_call(
            _Predictor(model),
            {f"model.{k}": v for k, v in parameters.items()},
            (batch, modalities_M),
        )
        losses_BL = measure_losses(outputs_BL, batch["labels"], is_binary=model.is_binary)
        return (row_weights_BL * losses_BL).sum(dim=0)

    with torch.enable_grad():
        leaves = {name: p.clone().requires_grad_() for name, p in shared.items()}
        losses_L = compute_losses(leaves)
        gradients = [
            torch.autograd.grad(
                loss,
                list(leaves.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for loss in losses_L
        ]
    rows = []
    for gradient, size in zip(gradients, step_sizes, strict=True):
        ahead = {k: p - size * g for (k, p), g in zip(shared.items(), gradient, strict=True)}
        rows.append(1 - compute_losses(ahead) / losses_L.detach())
    return torch.stack(rows)


class _Predictor(torch.nn.Module):
    """The model's `predict` as a forward, which `functional_call` needs."""

    def __init__(self, model: Hca) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Mapping[str, Tensor], modalities_M: Tensor) -> Tensor:
        return self.model.predict(batch, modalities_M=modalities_M)
