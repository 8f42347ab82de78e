"""Memories of the parts of a strategy, kept in one dictionary of tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hpcexp.train.optimizer import init_state, update_adam, update_sgd

Tensors = dict[str, Tensor]


def take(memory: Mapping[str, Tensor], part: str) -> Tensors:
    """What one part remembers."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in memory.items() if k.startswith(prefix)}


def put(part: str, own: Mapping[str, Tensor]) -> Tensors:
    """What one part remembers, under names of its own."""
    return {f"{part}.{k}": v for k, v in own.items()}


def start_descent(optimizer: str, point_L: Tensor) -> Tensors:
    """A point that is to be moved downhill, and what the update rule remembers."""
    rule = "sgd" if optimizer == "sgd" else "adam"
    count = torch.zeros((), dtype=torch.int64, device=point_L.device)
    return {"point": point_L, "count": count, **init_state(rule, point_L)}


def descend(
    memory: Mapping[str, Tensor], gradient_L: Tensor, *, lr: float, weight_decay: float = 0.0
) -> Tensors:
    """One update of the point, by Adam where it has moments and else by plain descent."""
    moments = {k: v for k, v in memory.items() if k not in ("point", "count")}
    values = {
        "lr": gradient_L.new_full((), lr),
        "weight_decay": gradient_L.new_full((), weight_decay),
    }
    update = update_adam if moments else update_sgd
    point, moments = update(memory["point"], gradient_L, moments, memory["count"], values)
    return {"point": point, "count": memory["count"] + 1, **moments}
