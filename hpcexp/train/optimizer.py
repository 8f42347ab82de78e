"""Update rules as pure functions over dictionaries of tensors.

torch.optim keeps its state inside objects and its learning rate as a Python number;
here both are tensors that are passed in and out, so that runs with different learning
rates can be stacked and updated as lanes of one `torch.func.vmap`, and a run whose loss
is not finite can be held still without asking the device. The rules give what
`torch.optim.Adam`, `AdamW` and `SGD` give with their default momenta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
OptimizerState = dict[str, Tensors]
UpdateRule = Callable[
    [Tensors, Tensors, OptimizerState, Tensor, Mapping[str, Tensor]],
    tuple[Tensors, OptimizerState],
]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def init_state(name: str, parameters: Mapping[str, Tensor]) -> OptimizerState:
    """Zero moments, shaped as the parameters; SGD without momentum has none."""
    if name == "sgd":
        return {}
    moments = ("exp_avg", "exp_avg_sq")
    return {m: {k: torch.zeros_like(v) for k, v in parameters.items()} for m in moments}


def update_sgd(
    parameters: Tensors,
    gradients: Tensors,
    state: OptimizerState,
    step: Tensor,
    values: Mapping[str, Tensor],
) -> tuple[Tensors, OptimizerState]:
    """p - lr (g + weight_decay p)."""
    del step
    decayed = _add_l2(parameters, gradients, values["weight_decay"])
    return {k: p - values["lr"] * decayed[k] for k, p in parameters.items()}, state


def update_adam(
    parameters: Tensors,
    gradients: Tensors,
    state: OptimizerState,
    step: Tensor,
    values: Mapping[str, Tensor],
) -> tuple[Tensors, OptimizerState]:
    """Adam with an L2 penalty in the gradient.

    `step` counts the updates done before this one. Source: Kingma & Ba 2015, algorithm 1.
    """
    decayed = _add_l2(parameters, gradients, values["weight_decay"])
    return _update_adam(parameters, decayed, state, step, values["lr"])


def update_adamw(
    parameters: Tensors,
    gradients: Tensors,
    state: OptimizerState,
    step: Tensor,
    values: Mapping[str, Tensor],
) -> tuple[Tensors, OptimizerState]:
    """Adam with decoupled weight decay. Source: Loshchilov & Hutter 2019, algorithm 2."""
    keep = 1 - values["lr"] * values["weight_decay"]
    shrunk = {k: p * keep for k, p in parameters.items()}
    return _update_adam(shrunk, gradients, state, step, values["lr"])


UPDATE_RULES: dict[str, UpdateRule] = {
    "adam": update_adam,
    "adamw": update_adamw,
    "sgd": update_sgd,
}


def clip_by_global_norm(gradients: Tensors, max_norm: Tensor) -> tuple[Tensors, Tensor]:
    """Scale all gradients by min(1, max_norm / norm); returns them and the norm before.

    `max_norm` may be infinite. The formula is that of `torch.nn.utils.clip_grad_norm_`,
    but an infinite bound leaves every bit as it was.
    """
    norm = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
    scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    return {k: g * scale for k, g in gradients.items()}, norm


def _add_l2(parameters: Tensors, gradients: Tensors, weight_decay: Tensor) -> Tensors:
    return {k: g + weight_decay * parameters[k] for k, g in gradients.items()}


def _update_adam(
    parameters: Tensors, gradients: Tensors, state: OptimizerState, step: Tensor, lr: Tensor
) -> tuple[Tensors, OptimizerState]:
    count = (step + 1).to(lr.dtype)
    step_size = lr / (1 - BETA_1**count)
    root_correction = (1 - BETA_2**count).sqrt()
    new: Tensors = {}
    first: Tensors = {}
    second: Tensors = {}
    for name, gradient in gradients.items():
        first[name] = torch.lerp(state["exp_avg"][name], gradient, 1 - BETA_1)
        second[name] = state["exp_avg_sq"][name] * BETA_2 + (1 - BETA_2) * gradient.square()
        denominator = second[name].sqrt() / root_correction + EPSILON
        new[name] = parameters[name] - step_size * (first[name] / denominator)
    return new, {"exp_avg": first, "exp_avg_sq": second}
