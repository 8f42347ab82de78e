"""Update rules as pure functions over flat tensors.

torch.optim keeps its state inside objects and its learning rate as a Python number;
here both are tensors that are passed in and out, so that runs with different learning
rates can be stacked and updated as lanes of one `torch.func.vmap`, and a run whose loss
is not finite can be held still without asking the device. All parameters of a run are one
vector, so that an update is a dozen operations however many layers there are. The rules
give what `torch.optim.Adam`, `AdamW` and `SGD` give with their default momenta.

Shapes: P is the number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

OptimizerState = dict[str, Tensor]
UpdateRule = Callable[
    [Tensor, Tensor, OptimizerState, Tensor, Mapping[str, Tensor]],
    tuple[Tensor, OptimizerState],
]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def init_state(name: str, parameters_P: Tensor) -> OptimizerState:
    """Zero moments of the parameters' shape; SGD without momentum has none."""
    if name == "sgd":
        return {}
    return {m: torch.zeros_like(parameters_P) for m in ("exp_avg", "exp_avg_sq")}


def update_sgd(
    parameters_P: Tensor,
    gradient_P: Tensor,
    state: OptimizerState,
    step: Tensor,
    values: Mapping[str, Tensor],
) -> tuple[Tensor, OptimizerState]:
    """p - lr (g + weight_decay p)."""
    del step
    decayed_P = gradient_P + values["weight_decay"] * parameters_P
    return parameters_P - values["lr"] * decayed_P, state


def update_adam(
    parameters_P: Tensor,
    gradient_P: Tensor,
    state: OptimizerState,
    step: Tensor,
    values: Mapping[str, Tensor],
) -> tuple[Tensor, OptimizerState]:
    """Adam with an L2 penalty in the gradient.

    `step` counts the updates done before this one. Source: Kingma & Ba 2015, algorithm 1.
    """
    decayed_P = gradient_P + values["weight_decay"] * parameters_P
    return _update_adam(parameters_P, decayed_P, state, step, values["lr"])


def update_adamw(
    parameters_P: Tensor,
    gradient_P: Tensor,
    state: OptimizerState,
    step: Tensor,
    values: Mapping[str, Tensor],
) -> tuple[Tensor, OptimizerState]:
    """Adam with decoupled weight decay. Source: Loshchilov & Hutter 2019, algorithm 2."""
    shrunk_P = parameters_P * (1 - values["lr"] * values["weight_decay"])
    return _update_adam(shrunk_P, gradient_P, state, step, values["lr"])


UPDATE_RULES: dict[str, UpdateRule] = {
    "adam": update_adam,
    "adamw": update_adamw,
    "sgd": update_sgd,
}


def clip_by_norm(gradient_P: Tensor, max_norm: Tensor) -> tuple[Tensor, Tensor]:
    """Scale a gradient by min(1, max_norm / norm); returns it and the norm before.

    `max_norm` may be infinite. The formula is that of `torch.nn.utils.clip_grad_norm_`; a
    gradient within the bound keeps every bit.
    """
    norm = gradient_P.square().sum().sqrt()
    return gradient_P * torch.clamp(max_norm / (norm + 1e-6), max=1.0), norm


def _update_adam(
    parameters_P: Tensor, gradient_P: Tensor, state: OptimizerState, step: Tensor, lr: Tensor
) -> tuple[Tensor, OptimizerState]:
    count = (step + 1).to(lr.dtype)
    first_P = torch.lerp(state["exp_avg"], gradient_P, 1 - BETA_1)
    second_P = state["exp_avg_sq"] * BETA_2 + (1 - BETA_2) * gradient_P.square()
    denominator_P = second_P.sqrt() / (1 - BETA_2**count).sqrt() + EPSILON
    step_size = lr / (1 - BETA_1**count)
    new_P = parameters_P - step_size * (first_P / denominator_P)
    return new_P, {"exp_avg": first_P, "exp_avg_sq": second_P}
